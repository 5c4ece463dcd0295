"""What dvc.lock records of a stage, and what is refused of one that somebody else wrote."""

from pathlib import Path

import pytest

from flows.lineage.lock import LockFileError, as_locked, parse_lock
from flows.lineage.quick_lock import read_text
from flows.repository import object_path
from tasks.core.errors import GoodfitError
from tests.flows.lineage.world import World, lock_text, stage

GOOD = "0123456789abcdef" * 2
WRONG = ["/etc/precious", "../../../precious", "xx/etc/hostname", GOOD.upper(), GOOD[:-1], f"{GOOD}.dir.dir", f"{GOOD}\n", ""]


@pytest.mark.parametrize("md5", WRONG)
def test_an_md5_that_could_be_the_name_of_another_file_is_refused(md5: str) -> None:
    text = lock_text(train=stage("train", outs={"model": md5}))
    for read in (parse_lock, read_text):
        with pytest.raises(
            LockFileError, match=r"stages\.train\.outs: model: found .* expected an md5 of 32 hexadecimal digits"
        ):
            read(text)
    with pytest.raises(GoodfitError, match="as the MD5 of a file; expected 32 hexadecimal digits"):
        object_path(Path("cache"), md5)


def test_the_md5_of_a_file_and_of_a_folder_are_read() -> None:
    outs = {"model": GOOD, "data": f"{GOOD}.dir"}
    assert parse_lock(lock_text(train=stage("train", outs=outs)))["train"].outs == outs
    assert object_path(Path("cache"), outs["data"]) == Path("cache/files/md5/01") / f"{GOOD[2:]}.dir"


@pytest.mark.parametrize("layout", ["JSON", "YAML"])
def test_lists_within_lists_without_end_are_refused(layout: str) -> None:
    nested = "[" * 100_000
    text = f"schema: '2.0'\nstages:\n  train:\n    cmd: a\n    params:\n      params.yaml:\n        seed: {nested}\n"
    if layout == "JSON":
        text = lock_text(train=stage("train", params={"seed": "DEEP"})).replace('"DEEP"', nested)
    for read in (parse_lock, read_text):
        with pytest.raises(LockFileError, match="lists and mappings lie more than 100 deep in each other"):
            read(text)


def test_lists_that_only_aliases_put_within_lists_are_refused() -> None:
    lists = "".join(f"  - &l{number} [*l{number - 1}]\n" for number in range(1, 3000))
    for read in (parse_lock, read_text):
        with pytest.raises(LockFileError, match="holds lists within lists, too many to be read"):
            read(f"stages:\n  - &l0 []\n{lists}")


@pytest.mark.parametrize("verb", ["bundle", "reproduce"])
def test_a_recorded_md5_overwrites_no_file(world: World, verb: str) -> None:
    precious = world.root / "precious.txt"
    precious.write_text("mine")
    world.put("evil.txt", "another's")
    world.put("params.yaml", "seed: 0\n")
    world.put("dvc.yaml", "stages:\n  evil:\n    cmd: echo\n    outs:\n      - evil.txt: {cache: false}\n")
    world.commit(lock_text(evil=stage("echo", outs={"evil.txt": str(precious)})))
    options = ("-o", str(world.root / "bundled")) if verb == "bundle" else ()
    done = world.goodfit("lineage", verb, "HEAD", *options, check=False)
    assert done.returncode
    assert "expected an md5 of 32 hexadecimal digits" in done.stderr
    assert "Traceback" not in done.stderr
    assert precious.read_text() == "mine"
    assert not (world.root / "bundled").exists()


@pytest.mark.parametrize(
    ("root", "declared", "expected"),
    [
        ("/srv/own", "data/raw", "data/raw"),
        ("/srv/own", "./data//raw/", "data/raw"),
        ("/srv/own", "data/../raw", "raw"),
        ("/srv/own", "/srv/own/data", "data"),
        ("/srv/own", "/srv/own", "."),
        ("/srv/own", "../own/data", "data"),
        ("/srv/own", "../shared", "../shared"),
        ("/srv/own", "/srv/owner/data", "/srv/owner/data"),
        ("/srv/own", "..data", "..data"),
        ("/", "/data/raw", "data/raw"),
        ("/", "./data", "data"),
    ],
)
def test_a_path_inside_of_the_repository_is_relative_in_the_lock_and_another_as_declared(
    root: str, declared: str, expected: str
) -> None:
    assert as_locked(Path(root), declared) == expected


def test_a_repository_that_is_named_relative_has_the_same_paths() -> None:
    assert as_locked(Path(), "./data") == as_locked(Path(), str(Path("data").absolute())) == "data"
