"""The list of a folder: what is read of one that DVC wrote, and what is refused of one that somebody else did."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.listing import ListingError, parse_listing, read_listing
from flows.lineage.objects import Objects
from flows.repository import object_path
from tests.flows.lineage.small import Small
from tests.flows.lineage.world import World

MD5 = "0123456789abcdef" * 2
OUTSIDE = ["/etc/x", "../x", "a/../../x", "a/./x", "a//x", "a/", ".", "..", "", "a\0b"]


def listed(*entries: Any) -> bytes:
    return json.dumps(entries).encode()


def test_what_dvc_writes_is_read(small: Small) -> None:
    (listing,) = (small.root / ".dvc/cache/files/md5").glob("*/*.dir")
    assert list(parse_listing(listing.read_bytes())) == ["weights.txt"]
    names = ["ä b/1.png", "..a", "a..b/...", "-x", "a\\b", "a\nb"]
    assert list(parse_listing(listed(*({"md5": MD5, "relpath": name} for name in names)))) == names


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_does_not_lie_below_the_folder_is_refused(path: str) -> None:
    with pytest.raises(ListingError, match="expected one below the folder"):
        parse_listing(listed({"md5": MD5, "relpath": "good"}, {"md5": MD5, "relpath": path}))


@pytest.mark.parametrize("md5", ["", "x" * 32, f"{MD5}.dir", "/etc/hostname", "../../x", MD5.upper()])
def test_an_md5_that_is_none_of_a_file_is_refused(md5: str) -> None:
    with pytest.raises(ListingError, match="expected 32 hexadecimal digits"):
        parse_listing(listed({"md5": md5, "relpath": "a"}))


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{}", b"3", b"[" * 100_000, b"[3]", b'[{"md5": 1, "relpath": "a"}]', b'[{"relpath": "a"}]'],
)
def test_what_is_no_list_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ListingError, match="; expected "):
        parse_listing(content)
    (tmp_path / "list").write_bytes(content)
    assert read_listing(tmp_path / "list") is None


def test_a_file_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(ListingError, match="'a' twice"):
        parse_listing(listed({"md5": MD5, "relpath": "a"}, {"md5": "f" * 32, "relpath": "a"}))


def test_no_reader_is_given_the_files_of_an_unsafe_list(world: World) -> None:
    unsafe = world.store(listed({"md5": MD5, "relpath": "../../x"}), ".dir")
    assert read_listing(object_path(world.root / ".dvc/cache", unsafe)) is None
    assert Objects(world.root).members(unsafe) is None
