"""What `--deep` says of a stage that it cannot compute again: statements written by hand, and no run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flows.lineage.verification.deep import check_deep
from flows.lineage.verification.subject import read_subject
from tests.conftest import ROOT, Project
from tests.flows.lineage.world import World, lock_text, statement


@pytest.fixture
def deep(world: World) -> Callable[[str, str], tuple[list[str], list[str]]]:
    """The mismatches and the notes for a stage of this name and command, which has a statement."""

    def check(name: str, command: str) -> tuple[list[str], list[str]]:
        stages = {name: {"cmd": command, "outs": ["out.html"]}}
        (world.root / "dvc.yaml").write_text(json.dumps({"stages": stages}))
        (world.root / "params.yaml").write_text("seed: 0\n")
        world.write(lock_text(**{name: {"cmd": command}}))
        (world.root / "lineage").mkdir(exist_ok=True)
        (world.root / f"lineage/{name}.json").write_text(statement(name, {}, {}))
        subject = read_subject(world.root, None)
        mismatches = [str(mismatch) for mismatch in check_deep(subject)]
        return mismatches, [str(note) for note in subject.notes]

    return check


def own_code(root: Path, name: str) -> None:
    (root / "tasks").mkdir()
    (root / f"tasks/{name}.py").touch()


def test_a_blank_in_a_command_does_not_hide_a_stage_from_the_recomputation(
    world: World, deep: Callable[[str, str], tuple[list[str], list[str]]]
) -> None:
    own_code(world.root, "evaluate")
    (found,), notes = deep("evaluate", "python  -m flows.stage evaluate")
    assert found.startswith(
        "evaluate: dvc.yaml: cmd: goodfit's pipeline has 'python -m flows.stage evaluate', "
        "found 'python  -m flows.stage evaluate': not computed again"
    )
    assert notes == []


@pytest.mark.parametrize("name", ["evaluate", "score"])
def test_a_stage_of_another_pipeline_is_named_as_not_computed_again(
    deep: Callable[[str, str], tuple[list[str], list[str]]], name: str
) -> None:
    mismatches, (note,) = deep(name, "sh run.sh")
    assert mismatches == []
    assert note.startswith(f"{name}: was not computed again: its command is 'sh run.sh'")


def test_a_stage_that_trains_is_left_out_and_named_only_with_another_command(
    world: World, deep: Callable[[str, str], tuple[list[str], list[str]]]
) -> None:
    own_code(world.root, "train")
    assert deep("train", "python -m flows.stage train") == ([], [])
    mismatches, (note,) = deep("train", "nice python -m flows.stage train")
    assert mismatches == []
    assert note.startswith("train: was not computed again: ")


def test_an_error_of_any_kind_is_a_mismatch_that_names_the_stage(
    world: World, deep: Callable[[str, str], tuple[list[str], list[str]]]
) -> None:
    (world.root / "tasks").symlink_to(ROOT / "tasks")  # only the repository's own code may compute again
    (found,), _ = deep("nowhere", "python -m flows.stage nowhere")
    assert found == (
        "nowhere: out.html: the recomputation from the stored inputs has an error (ModuleNotFoundError: No module named "
        "'tasks.nowhere'), found a result"
    )


@pytest.mark.slow
def test_in_another_environment_a_page_that_differs_is_named_and_a_table_that_cannot_be_read_does_not_pass(
    ran: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")

    def check(name: str) -> tuple[list[str], list[str]]:
        subject = replace(read_subject(ran.root, None), chain=[name])
        mismatches = [str(mismatch) for mismatch in check_deep(subject)]
        return mismatches, [str(note) for note in subject.notes if "MKL_CBWR" not in note.text]

    page, table = "report/index.html", "results/per_class.csv"
    assert check("report") == ([], [])
    (ran.root / page).chmod(0o644)
    ran.edit(page, "</html>", "<!-- forged --></html>")
    mismatches, (note,) = check("report")
    assert mismatches == []
    assert note.startswith(f"{page}: was not compared: ")

    (ran.root / table).chmod(0o644)
    (ran.root / table).write_bytes(b"")
    mismatches, _ = check("evaluate")
    assert any(
        line.startswith(f"evaluate: {table}: the recomputation from the stored inputs has sha256 ") for line in mismatches
    )
