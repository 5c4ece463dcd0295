"""What is changed and put back is seen; what honest programs do beside a stage is not taken for it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.traces import touched, traces

FILE = "data/raw/a.bin"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (FILE, "data/raw/b.bin", "data/other/a.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    return tmp_path


def keep_times(path: Path, act: Callable[[], object]) -> None:
    before = path.stat()
    act()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def write(root: Path) -> None:
    path = root / FILE

    def twice() -> None:
        path.write_bytes(b"changed")
        path.write_bytes(b"content")

    keep_times(path, twice)


def rename(root: Path) -> None:
    path, aside = root / FILE, root / "data/aside"
    path.rename(aside)
    path.write_bytes(b"changed")
    aside.replace(path)


def copy(root: Path) -> None:
    path, aside = root / FILE, root / "data/aside"
    aside.write_bytes(b"content")
    keep_times(path, lambda: aside.replace(path))


def folder(root: Path) -> None:
    (root / "data/raw").rename(root / "data/aside")
    (root / "data/other").rename(root / "data/raw")
    (root / "data/raw").rename(root / "data/other")
    (root / "data/aside").rename(root / "data/raw")


def above(root: Path) -> None:
    (root / "data").rename(root / "aside")
    (root / "aside").rename(root / "data")


@pytest.mark.parametrize(
    ("swap", "name"),
    [(write, FILE), (rename, FILE), (copy, FILE), (folder, "data/raw"), (above, "data")],
    ids=lambda v: str(v)[:20],
)
def test_what_is_put_back_is_seen(root: Path, swap: Callable[[Path], None], name: str) -> None:
    before = traces(root, [FILE])
    swap(root)
    assert (root / FILE).read_bytes() == b"content"
    assert name in touched(before, traces(root, [FILE]))


def read(root: Path) -> None:
    (root / FILE).read_bytes()
    os.utime(root / "data/raw/b.bin")  # of a file that is no input


def write_beside(root: Path) -> None:
    (root / "data/raw/.DS_Store").write_text("x")
    (root / "data/new").mkdir()
    (root / "data/raw/.DS_Store").unlink()


@pytest.mark.parametrize("act", [read, write_beside])
def test_reading_and_writing_beside_it_is_no_alarm(root: Path, act: Callable[[Path], None]) -> None:
    before = traces(root, [FILE])
    act(root)
    assert touched(before, traces(root, [FILE])) == []


@pytest.mark.parametrize("link", ["hard", "symbolic"])
def test_what_dvc_does_to_shared_files_of_its_cache_is_no_alarm(root: Path, link: str) -> None:
    """Another workspace, or another output with the same bytes, adds a name and protects the file once more."""
    cached = root / "cache"
    (root / FILE).rename(cached)
    if link == "hard":
        (root / FILE).hardlink_to(cached)
    else:
        (root / FILE).symlink_to(cached)
    before = traces(root, [FILE])
    (root / "another").hardlink_to(cached)
    cached.chmod(0o444)
    assert touched(before, traces(root, [FILE])) == []
    cached.chmod(0o644)
    cached.write_bytes(b"changed")
    cached.write_bytes(b"content")
    assert touched(before, traces(root, [FILE])) == [FILE]


def test_a_link_that_leads_elsewhere_for_a_while_is_seen(root: Path) -> None:
    path = root / "link"
    path.symlink_to(FILE)
    before = traces(root, ["link"])
    path.unlink()
    path.symlink_to("data/other/a.bin")
    path.unlink()
    path.symlink_to(FILE)
    assert touched(before, traces(root, ["link"])) == ["link"]
