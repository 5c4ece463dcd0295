"""The digest of a folder is the one of DVC's list, and that of a list of files the one of `sha256sum`."""

import hashlib
import json
from pathlib import Path

import pytest

from flows.lineage.digest import digest_paths, directory_md5, list_digest
from flows.lineage.signing.auditor import folder_md5
from tasks.contracts.statement import Digest
from tests.flows.lineage.small import Small

# "-" and "." come before "/": a list that is sorted by the parts of its paths is another one.
NAMES = ("a/b", "a-b", "a.b", "a/c/d", "ab", 'quo"te\\', "new\nline", "é\u202e", "byte\udcff")


def listed(entries: list[tuple[str, str]]) -> str:
    """What DVC has for entries in its order (dvc_data/hashfile/tree.py)."""
    text = json.dumps([{"md5": md5, "relpath": name} for name, md5 in entries], sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def test_a_folder_has_the_md5_that_dvc_gives_it(small: Small) -> None:
    for name in NAMES[:-1]:  # DVC cannot write the last
        (small.root / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (small.root / "folder" / name).write_text(name)
    small.run("dvc", "add", "-q", "folder")
    found = digest_paths(small.root, ["folder"])
    assert f"md5: {directory_md5(found, 'folder')}\n" in (small.root / "folder.dvc").read_text()
    assert folder_md5({name: digest.md5 for name, digest in found.items()}, "folder") == directory_md5(found, "folder")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_written_as_json_writes_it(name: str) -> None:
    assert directory_md5({f"folder/{name}": Digest("s", "m")}, "folder") == listed([(name, "m")])


def test_a_forged_digest_cannot_pass_for_two_files() -> None:
    forged = {"folder/b": Digest("s", 'm", "relpath": "a"}, {"md5": "m')}
    assert directory_md5(forged, "folder") != listed([("a", "m"), ("b", "m")])


def test_a_list_has_the_digest_that_sha256sum_gives_it(small: Small) -> None:
    names = ("part.txt", "data.txt", "fit.sh")
    files = {name: hashlib.sha256((small.root / name).read_bytes()).hexdigest() for name in names}
    printed = small.run("sh", "-c", "sha256sum data.txt fit.sh part.txt | sha256sum").stdout
    assert list_digest(files) == printed.split()[0]
    assert list_digest({}) == hashlib.sha256(Path("/dev/null").read_bytes()).hexdigest()
