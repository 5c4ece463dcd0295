"""The script of a bundle reads dvc.lock by itself: what it reads is what DVC wrote, or it says that it cannot."""

import math
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.digest import digest_paths, directory_md5
from flows.lineage.packages import locked_digest as digest_of_the_lock
from flows.lineage.signing.auditor import (
    PAYLOAD,
    RECORD,
    UnreadableError,
    folder_md5,
    locked_digest,
    place,
    printable,
    read_lock,
)
from flows.lineage.signing.dsse import PAYLOAD_TYPE
from flows.lineage.signing.signature import PREDICATE_TYPE
from tasks.core.settings import load_yaml
from tests.conftest import ROOT


def written_by_dvc(path: Path, params: Any) -> Path:
    from dvc.utils.serialize import dump_yaml

    entry = {"cmd": "python -m flows.stage train", "deps": [{"path": "a", "md5": "0" * 32}], "params": {"params.yaml": params}}
    dump_yaml(str(path), {"schema": "2.0", "stages": {"train": entry, "empty": {"cmd": "true"}}})
    return path


def test_the_projects_own_lock_is_read_as_yaml_reads_it() -> None:
    assert read_lock(ROOT / "dvc.lock") == load_yaml(ROOT / "dvc.lock")["stages"]


TEXTS = ["", "a", "true", "null", "~", "1", "-1", "1.5", "1e-5", "1e5", ".5", ".inf", "2020-01-01", "a: b", "a # b", "#", "- a"]
TEXTS += [
    "-",
    "?",
    "it's",
    '"quoted"',
    "[a]",
    "{a}",
    "a,b",
    "é",
    "日本",
    "  spaces  ",
    "\\",
    "%a",
    "@a",
    "`a",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
]
TEXTS += ["a:", ":a", "0x1F", "1_000", "yes", "No", "=", "<<", "x" * 200, "long words " * 30, "a: 'b'" * 40, 'it\'s "so" ' * 30]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_is_read_as_dvc_wrote_it(tmp_path: Path, text: str) -> None:
    file = written_by_dvc(tmp_path / "dvc.lock", {"value": text, "list": [text, {"a": text}], "after": 1})
    assert read_lock(file) == load_yaml(file)["stages"]


@pytest.mark.parametrize("text", ["a\x1bb", "\u2028", "a\n\nb", "\u202e"], ids=ascii)
def test_a_text_that_cannot_be_printed_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dvc.lock"
    file.write_text(f"stages:\n  a:\n    cmd: 'b{text}'\n")
    with pytest.raises(UnreadableError):
        read_lock(file)


@pytest.mark.parametrize(
    "value", [True, False, None, 0, -7, 10**20, 0.1, 1e-05, -2.5e300, math.inf, -math.inf, [], {}, [[]], [[1], [2, [3]]], [{}]]
)
def test_a_value_keeps_its_type(tmp_path: Path, value: Any) -> None:
    file = written_by_dvc(tmp_path / "dvc.lock", {"value": value, "list": [deepcopy(value), {"deep": deepcopy(value)}]})
    read = read_lock(file)["train"]["params"]["params.yaml"]
    assert repr(read) == repr(load_yaml(file)["stages"]["train"]["params"]["params.yaml"])


def test_random_parameters_are_read_as_dvc_wrote_them(tmp_path: Path) -> None:
    chance = random.Random(0)

    def made(depth: int) -> Any:
        kind = chance.random()
        if depth and kind < 0.3:
            return {chance.choice(["a", "b.c", "two words", "it's", "1", "true", "", "-"]): made(depth - 1) for _ in range(3)}
        if depth and kind < 0.6:
            return [made(depth - 1) for _ in range(chance.randrange(4))]
        return chance.choice([True, None, 3, 0.25, 1e-7, "word", "two words", "1.0", "true", "a long text " * 12])

    for _ in range(40):
        file = written_by_dvc(tmp_path / "dvc.lock", {"value": made(4)})
        assert read_lock(file) == load_yaml(file)["stages"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stages: {}\n",
        "stages: {a: {cmd: b}}\n",
        "stages:\n  a: &x\n    cmd: b\n",
        "stages:\n  a:\n    cmd: b\n  a:\n    cmd: c\n",
        "stages:\n  a:\n    cmd: b # c\n",
        "stages:\n  a:\n    cmd: |\n      b\n",
        "stages:\n  a:\n    cmd: !!str b\n",
        "stages:\n  a:\n     cmd: b\n    deps: []\n",
        "stages:\n\ta: b\n",
        "- a\n",
        "---\nstages:\n  a:\n    cmd: b\n",
    ],
)
def test_what_dvc_does_not_write_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(UnreadableError):
        read_lock(tmp_path / "dvc.lock")


def test_a_folders_digest_is_dvcs() -> None:
    files = digest_paths(ROOT, ["tasks/core"])
    assert folder_md5({name: one.md5 for name, one in files.items()}, "tasks/core") == directory_md5(files, "tasks/core")


@pytest.mark.parametrize(
    "text",
    [
        (ROOT / "requirements.lock").read_text(encoding="utf-8"),
        "",
        "# a comment\nb==2  # another\n  # a third\na==1 \\\n    --hash=sha256:2 \\\n    --hash=sha256:1\n",
        "--index-url x\n-r other\na==1 ; python_version < '3.12' --hash=sha256:1\r\nb @ file:///b\n\n",
    ],
    ids=["the project's", "empty", "comments", "options"],
)
def test_a_locks_digest_is_that_of_the_statements(tmp_path: Path, text: str) -> None:
    (tmp_path / "requirements.lock").write_bytes(text.encode())
    found = digest_of_the_lock(tmp_path)
    assert found is not None
    assert locked_digest((tmp_path / "requirements.lock").read_text()) == {"sha256": found.sha256, "md5": found.md5}


def test_the_script_asks_for_what_is_signed() -> None:
    assert (PAYLOAD, RECORD) == (PAYLOAD_TYPE, PREDICATE_TYPE)


def test_each_path_has_a_place_of_its_own_inside_of_the_bundle() -> None:
    paths = ["a/b", "../a/b", "../../a/b", "/a/b", "%2E%2E/a/b", "%2F/a/b"]
    assert len({place(path) for path in paths}) == len(paths)
    assert all(".." not in place(path).split("/") and not place(path).startswith("/") for path in paths)


def test_a_name_cannot_clear_the_screen() -> None:
    assert printable("a\x1b[2Jb\n\u202e") == "a\\x1b[2Jb\\n\\u202e"
