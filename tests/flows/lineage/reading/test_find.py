"""Is this file one of ours: in dvc.lock, in folders and in statements, over the whole history."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.reading.find import digests_of, find, parsed_digest
from tasks.core.errors import GoodfitError
from tests.conftest import Project
from tests.flows.lineage.world import World, lock_text, stage, statement

A, B = b"picture a", b"picture b"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def uses(world: World, content: bytes) -> dict[tuple[str, str, bool, bool], list[str]]:
    """What is found of a file with this content: stage, path, whether it wrote it, whether the SHA-256 is confirmed."""
    (world.root / "somewhere").write_bytes(content)
    found = find(world.root, digests_of(world.root / "somewhere"))
    return {(use.stage, use.path, use.wrote, use.confirmed): names for use, names in found.uses.items()}


def test_a_file_is_found_by_its_bytes_in_every_run_that_wrote_or_read_it(world: World) -> None:
    train = stage("train", outs={"models/m": md5(A)})
    first = world.commit(lock_text(train=train))
    second = world.commit(lock_text(train=train, evaluate=stage("evaluate", deps={"models/m": md5(A)})))
    world.commit(lock_text(train=stage("train", outs={"models/m": md5(B)})))
    world.run("git", "update-ref", f"refs/exps/ab/{'c' * 38}/slow-owl", "HEAD")
    world.run("git", "reset", "-q", "--hard", "HEAD~")
    assert uses(world, A) == {
        ("train", "models/m", True, False): [second, first],
        ("evaluate", "models/m", False, False): [second],
    }
    assert uses(world, B) == {("train", "models/m", True, False): ["slow-owl"]}
    assert uses(world, b"another") == {}
    world.write(lock_text(train=stage("train", outs={"models/m": md5(b"another")})))
    assert uses(world, b"another") == {("train", "models/m", True, False): ["working tree"]}


def test_a_file_in_a_folder_is_found_where_the_cache_has_its_list(world: World) -> None:
    folder = world.folder(**{"cats/1.png": md5(A), "dogs/1.png": md5(B)})
    commit = world.commit(lock_text(download=stage("download", outs={"data/raw": folder})))
    assert uses(world, A) == {("download", "data/raw/cats/1.png", True, False): [commit]}
    (world.root / "copy/cats").mkdir(parents=True)
    (world.root / "copy/dogs").mkdir()
    (world.root / "copy/cats/1.png").write_bytes(A)
    (world.root / "copy/dogs/1.png").write_bytes(B)
    whole = find(world.root, digests_of(world.root / "copy"))
    assert [use.path for use in whole.uses] == ["data/raw"]
    (world.root / ".dvc/cache/files/md5" / folder[:2] / folder[2:]).unlink()
    (world.root / "somewhere").write_bytes(A)
    lost = find(world.root, digests_of(world.root / "somewhere"))
    assert lost.uses == {}
    assert "not looked into: 1 list of a folder; `dvc fetch --all-commits`" in lost.not_seen[0]


def test_a_statement_names_files_of_code_and_confirms_their_sha256(world: World) -> None:
    said = world.cache(statement("train", {"tasks/core/a.py": (md5(A), sha256(A))}, {"models/m": (md5(B), sha256(B))}))
    entry = stage("train", deps={"tasks/core": f"{'d' * 32}.dir"}, outs={"models/m": md5(B), "lineage/train.json": said})
    commit = world.commit(lock_text(train=entry))
    assert uses(world, A) == {("train", "tasks/core/a.py", False, True): [commit]}
    assert uses(world, B) == {("train", "models/m", True, True): [commit]}
    (world.root / "somewhere").write_bytes(b"neither")
    assert find(world.root, digests_of(world.root / "somewhere")).not_seen == []  # the statement would name it
    by_sha256 = find(world.root, parsed_digest(f"sha256:{sha256(A).upper()}"))
    assert [use.path for use in by_sha256.uses] == ["tasks/core/a.py"]


def test_a_file_with_the_same_md5_and_another_sha256_is_not_ours(world: World) -> None:
    said = world.cache(statement("train", {}, {"models/m": (md5(A), sha256(B))}))
    world.commit(lock_text(train=stage("train", outs={"models/m": md5(A), "lineage/train.json": said})))
    assert uses(world, A) == {}


@pytest.mark.parametrize("text", ["", "xyz", "12", "g" * 32, "a" * 40, f"{'a' * 64}.dir"])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(GoodfitError, match="expected the 32 hex digits of an MD5"):
        parsed_digest(text)


def test_what_is_neither_a_file_nor_a_folder_is_refused_as_that() -> None:
    with pytest.raises(GoodfitError, match="/dev/null is neither a file nor a folder"):
        digests_of(Path("/dev/null"))


def test_a_folder_in_place_of_the_lock_is_said(world: World) -> None:
    (world.root / "dvc.lock").mkdir()
    for call in (["list"], ["find", "--digest", md5(A)]):
        said = world.goodfit("lineage", *call, check=False).stderr
        assert "dvc.lock cannot be read: Is a directory; expected a YAML file" in said


def test_the_exit_code_answers_and_an_error_has_its_own(world: World) -> None:
    commit = world.commit(lock_text(train=stage("train", outs={"models/m\u202e": md5(A)})))
    (world.root / "m").write_bytes(A)
    found = world.goodfit("lineage", "find", "m")
    assert f"found: m (md5 {md5(A)}, sha256 {sha256(A)})" in found.stdout
    assert found.stdout.splitlines()[2].split() == ["train", "wrote", "models/m\\u202e", "not", "recorded", commit]
    (world.root / "m").write_bytes(B)
    missing = world.goodfit("lineage", "find", "m", "--json", check=False)
    assert (missing.returncode, json.loads(missing.stdout)["uses"]) == (1, [])
    for wrong in (["nowhere"], ["--digest", "xyz"], ["--digest", ""], [], ["m", "--digest", md5(A)]):
        refused = world.goodfit("lineage", "find", *wrong, check=False)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
    (world.root / ".git").rename(world.root / "git")
    assert world.goodfit("lineage", "find", "m", check=False).returncode == 2


@pytest.mark.slow
def test_real_files_are_found_with_their_stage_whatever_they_are_called(ran: Project, tmp_path: Path) -> None:
    def paths(file: Path) -> set[tuple[str, str, bool]]:
        done = ran.run("python", "-m", "flows.cli", "lineage", "find", str(file), "--json")
        found: list[Any] = json.loads(done.stdout)["uses"]
        assert all(use["confirmed"] for use in found)
        return {(use["stage"], use["path"], use["wrote"]) for use in found}

    copy = tmp_path / "other name"
    copy.write_bytes((ran.root / "models/model.safetensors").read_bytes())
    assert ("train", "models/model.safetensors", True) in paths(copy)
    assert ("evaluate", "models/model.safetensors", False) in paths(copy)
    raw = next(file for file in sorted((ran.root / "data/raw").rglob("*")) if file.is_file())
    assert paths(raw) >= {("download", raw.relative_to(ran.root).as_posix(), True)}
    assert ("train", "tasks/core/files.py", False) in paths(ran.root / "tasks/core/files.py")  # in a folder of code
    copy.write_bytes(copy.read_bytes() + b" ")
    assert ran.run("python", "-m", "flows.cli", "lineage", "find", str(copy), check=False).returncode == 1
