"""The tree behind a file: what stands in it once, and where it is read from."""

import hashlib
import json
import shutil
from typing import Any

import pytest

from flows.lineage.printed import PIPE_WIDTH
from flows.lineage.reading.show import common, render
from tests.conftest import Project

SHOW = ("python", "-m", "flows.cli", "lineage", "show")
SHA = "0123456789abcdef" * 4


def node(stage: str = "train", **more: Any) -> dict[str, Any]:
    """A stage of the tree, without files."""
    kinds = ("outputs", "data", "code", "environment", "parameters", "folders", "written_since")
    empty: dict[str, Any] = {kind: {} for kind in kinds}
    return {"stage": stage, "command": f"run {stage}", "made_by": []} | empty | more


def lines(*renderables: Any) -> list[str]:
    from rich.console import Console

    console = Console(width=PIPE_WIDTH)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
    return [line.strip() for line in captured.get().splitlines()]


def test_a_folder_of_many_files_is_one_line_unless_all_are_asked_for() -> None:
    files = {f"data/raw/{number:03}.png": SHA for number in range(11)} | {"other.csv": SHA}
    tree = node(data=files, folders={"data/raw": "d" * 32 + ".dir"})
    (one,) = [line for line in lines(render(tree)) if "data/raw" in line]
    assert one.endswith("── data/raw/  11 files, md5 dddddddddddd")
    assert sum("data/raw" in line for line in lines(render(tree, every_file=True))) == 11
    few = node(data={f"data/raw/{number}.png": SHA for number in range(10)}, folders={"data/raw": "d" * 32 + ".dir"})
    assert sum("data/raw/" in line for line in lines(render(few))) == 10
    changed = tree | {"written_since": {"data/raw/003.png": "f" * 64}}
    assert "out of date: since written anew, ffffffffffff" in " ".join(lines(render(changed)))


def test_code_and_environment_stand_once_and_what_differs_names_its_stages() -> None:
    before = node("split", code={"tasks/a.py": SHA, "tasks/b.py": SHA}, environment={"python": "3.11", "numpy": "2.0"})
    tree = node("train", code={"tasks/a.py": SHA, "tasks/b.py": "f" * 64}, environment={"python": "3.11", "numpy": "2.1"})
    printed = lines(*common(tree | {"made_by": [before, {"stage": "split", "shown_above": True}]}))
    assert printed == [
        "code (2 files)",
        "├── tasks/a.py  sha256 0123456789ab",
        "└── tasks/b.py  sha256 ffffffffffff (train), 0123456789ab (split)",
        "environment: python 3.11, numpy 2.1 (train), 2.0 (split)",
    ]


def test_a_folder_of_code_has_the_digest_that_sha256sum_gives_its_list() -> None:
    code = {f"tasks/{letter}.py": hashlib.sha256(letter.encode()).hexdigest() for letter in "lkjihgfedcba"}
    listed = "".join(f"{code[name]}  {name}\n" for name in sorted(code))
    digest = hashlib.sha256(listed.encode()).hexdigest()[:12]
    assert lines(*common(node(code=code)))[1] == f"└── tasks/  12 files, sha256 of their list {digest}"
    assert len(lines(*common(node(code=code), every_file=True))) == 14


def test_options_of_what_is_switched_off_are_left_out() -> None:
    params = {"train": {"stop": {"enabled": False, "patience": 5}, "warm": {"enabled": True, "epochs": 1}}}
    printed = " ".join(lines(render(node(parameters=params))))
    assert "train.stop.enabled: false" in printed
    assert "patience" not in printed
    assert "train.warm.epochs: 1" in printed


def test_names_cannot_add_a_line_or_clear_the_screen() -> None:
    tree = node("a\nb", outputs={"x\n└── proven": SHA, "\x1b[2J": SHA, "[red]y[/]": SHA}, parameters={"k": "v\nw"})
    printed = lines(render(tree), *common(tree | {"code": {"c\n.py": SHA}, "environment": {"p": "1\n2"}}))
    assert len(printed) == 11
    before = node("\x1b[2Jfit\nproven", environment={"python": "3.11"})
    printed += lines(*common(node("split", environment={"python": "3.12"}, made_by=[before])))
    assert printed[-1] == r"environment: python 3.12 (split), 3.11 (\x1b[2Jfit\nproven)"
    assert "\x1b[2J" not in "".join(printed)
    assert any("[red]y[/]" in line for line in printed)


@pytest.mark.slow
def test_the_first_lines_say_what_it_is_worth_and_who_recorded_it_first(ran: Project) -> None:
    first = ran.run("git", "rev-parse", "--short", "HEAD").stdout.strip()
    accuracy = json.loads(ran.text("metrics/evaluation.json"))["accuracy"]
    verdict = json.loads(ran.text("metrics/diagnosis.json"))["verdict"]
    model = ran.run(*SHOW, "models/model.safetensors").stdout
    worth, recorded, journal, *_ = model.splitlines()
    assert worth.startswith(f"verdict {verdict.replace('_', ' ')}, accuracy {accuracy:.4f}, log-loss ")
    assert recorded.startswith(f"recorded first by {first} (20")
    assert recorded.endswith(", t)")
    assert journal.startswith("ran 20")
    assert " UTC through dvc on " in journal

    ran.edit("tasks/report.py", "from pathlib import Path\n", "from pathlib import Path  # edited\n")
    ran.repro()
    uncommitted = ran.run(*SHOW).stdout.splitlines()[1]
    assert uncommitted.startswith(f"recorded first by {first}")  # the page is the same, byte for byte
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    ran.repro("train")
    lines = ran.run(*SHOW, "models/model.safetensors").stdout.splitlines()
    assert lines[:3] == [
        "what evaluate found is of an earlier run: it has not run since",
        "what diagnose found is of an earlier run: it has not run since",
        "not committed yet",
    ]
    (ran.root / ".git").rename(ran.root / "git")
    without = ran.run(*SHOW, "models/model.safetensors").stdout.splitlines()
    assert without[2].startswith("no history: ")
    assert "is not in a Git repository" in without[2]


@pytest.mark.slow
def test_a_revision_is_shown_as_it_was_from_dvcs_cache(ran: Project) -> None:
    def shown(*options: str) -> Any:
        return json.loads(ran.run(*SHOW, "metrics/evaluation.json", "--json", *options).stdout)

    before = shown()
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    ran.repro("evaluate")
    after = shown()
    ran.run("git", "commit", "-qam", "Four epochs")
    ran.run("git", "tag", "four")
    ran.run("git", "checkout", "-q", "HEAD~")
    ran.run("dvc", "checkout", "-q", "-f")
    assert shown() == before
    assert shown("--rev", "HEAD") == before
    there = shown("--rev", "four")
    commit = there["summary"].pop("commit")
    assert ran.run("git", "rev-parse", "--short", "four").stdout.strip() == commit
    assert {key: value for key, value in there.items() if key != "summary"} == {
        key: value for key, value in after.items() if key != "summary"
    }
    assert there["summary"]["metrics"] == after["summary"]["metrics"]
    assert there["summary"]["behind"] == ["diagnose"]
    for wrong, said in (("nowhere", "there is no revision 'nowhere'"), ("HEAD~", "dvc.lock is not in HEAD~")):
        assert said in ran.run(*SHOW, "--rev", wrong, check=False).stderr
    assert "no stage of four wrote 'models/x'" in ran.run(*SHOW, "models/x", "--rev", "four", check=False).stderr
    shutil.rmtree(ran.root / ".dvc/cache/files")
    lost = ran.run(*SHOW, "metrics/evaluation.json", "--rev", "four", check=False)
    assert lost.returncode == 1
    assert "is not in DVC's cache: `dvc fetch --all-commits`" in lost.stderr
