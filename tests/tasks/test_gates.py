"""Stage `gates`: what fails a run, and that nothing is lost by it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.parameters.checking import check_params
from tasks.contracts.findings import Diagnosis, read_diagnosis, write_diagnosis
from tasks.contracts.results import EVALUATION
from tasks.core.errors import GateError, ParamsError
from tasks.core.files import read_json, write_json
from tasks.core.settings import validate
from tasks.diagnostics.question import Question
from tasks.gates import PASSED, Params, gates
from tests.conftest import Project


@pytest.fixture
def results(tmp_path: Path) -> Path:
    diagnosis = Diagnosis(
        verdict="overtrained",
        headline="Stop earlier.",
        flags=["overtrained", "leakage"],
        answered=["leakage", "underfit", "overtrained"],
        findings=[],
        confidence=0.95,
    )
    write_diagnosis(tmp_path, diagnosis)
    write_json(tmp_path / EVALUATION, {"accuracy": 0.9, "accuracy_ci_low": 0.88})
    return tmp_path


def judged(root: Path, **chosen: object) -> None:
    gates(validate(Params, {"gates": chosen}), root)


def test_without_gates_everything_passes(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(results)
    assert capsys.readouterr().out == "gates: none are set\n"


def test_what_is_met_is_counted(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(results, fail_on=["underfit", "inconclusive"], min_accuracy_lower_bound=0.88)
    assert capsys.readouterr().out == "gates: 3 of 3 passed\n"
    assert read_json(results / PASSED, "gates") == {
        "gates": {"fail_on": ["underfit", "inconclusive"], "min_accuracy_lower_bound": 0.88},
        "found": {"flags": ["overtrained", "leakage"], "verdict": "overtrained", "accuracy_ci_low": 0.88},
    }


def test_every_gate_that_failed_is_named(results: Path) -> None:
    with pytest.raises(GateError) as error:
        judged(results, fail_on=["leakage", "underfit"], min_accuracy_lower_bound=0.885)
    assert str(error.value) == (
        "gates.fail_on names leakage, which the diagnosis found (verdict: overtrained); gates.min_accuracy_lower_bound is 0.885, and "
        "the interval of the test accuracy 0.9000 begins at 0.8800. All results have been written and recorded"
    )


def test_a_gate_that_nothing_answers_fails(results: Path) -> None:
    with pytest.raises(
        GateError, match=r"names memorised, but the checks of diagnose\.checks had no answer to that; .*: leakage, underfit"
    ):
        judged(results, fail_on=["memorised"])


def test_any_names_what_was_found(results: Path) -> None:
    with pytest.raises(GateError, match=r"^gates\.fail_on names any, and the diagnosis found overtrained \(.*found leakage \("):
        judged(results, fail_on=["any"])


def test_a_gate_is_named_by_its_check_too(results: Path) -> None:
    question = Question("integrity", title="", definition="", estimand="", method="", unit="fraction")
    flagged = read_diagnosis(results).model_copy(update={"findings": [question.answer("flag", "", 1)]})
    write_diagnosis(results, flagged)
    with pytest.raises(GateError, match=r"gates\.fail_on names integrity, which the diagnosis found"):
        judged(results, fail_on=["integrity"])


def test_a_flag_that_no_check_raises_is_refused_before_anything_runs(params_with: Callable[..., Path]) -> None:
    root = params_with(("fail_on: [] ", "fail_on: [leakage, integrity, any, inconclusive, leakge] "))
    with pytest.raises(ParamsError, match=r"gates\.fail_on: unknown flag 'leakge'; .*did you mean 'leakage'") as error:
        check_params(root)
    assert len(str(error.value).splitlines()) == 2


def test_a_bound_that_is_no_share_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"gates\.min_accuracy_lower_bound"):
        validate(Params, {"gates": {"min_accuracy_lower_bound": 95}})


@pytest.mark.slow
def test_a_failed_gate_fails_both_doors_after_everything_is_recorded(ran: Project) -> None:
    lock = ran.text("dvc.lock")
    ran.edit("params.yaml", "min_accuracy_lower_bound: null ", "min_accuracy_lower_bound: 0.999 ")
    ran.edit("params.yaml", "most_wrong: 24 ", "most_wrong: 12 ")
    for _ in range(2):  # it fails until the results or the gates are others
        failed = ran.run("dvc", "repro", check=False)
        assert failed.returncode != 0
        assert "the interval of the test accuracy" in failed.stdout + failed.stderr
    changed = ran.text("dvc.lock")
    assert changed != lock
    assert "most_wrong: 12" in changed  # the report is recorded

    door = ran.run("python", "-m", "flows.cli", "run", check=False)
    assert door.returncode == 1
    assert "gates.min_accuracy_lower_bound is 0.999, and the interval of the test accuracy" in door.stderr
    assert ran.text("dvc.lock") == changed

    ran.edit("params.yaml", "min_accuracy_lower_bound: 0.999 ", "min_accuracy_lower_bound: 0.1 ")
    assert ran.repro() == {"gates"}
    assert ran.is_clean()
