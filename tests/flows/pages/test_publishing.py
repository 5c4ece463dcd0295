"""What a run shows on Prefect's pages, and what its metrics are compared with."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.pages.metrics import Metric, Previous, metric_files, metrics, previous_metrics, read_metrics
from flows.pages.publishing import Results, Run, choice_tags, metric_rows, results, stage_rows, summary
from flows.pages.usage import Usage, memory, usage_since
from tasks.contracts.findings import Diagnosis, Remedy
from tasks.diagnostics.question import Question
from tests.conftest import ROOT

EVALUATION = {"n": 539, "accuracy": 0.9629, "accuracy_ci_low": 0.9434, "accuracy_ci_high": 0.9759, "ece": 0.029}
NOTHING = Previous({}, "the last commit")


@pytest.fixture
def root(params_with: Callable[..., Path]) -> Path:
    """A folder with our dvc.yaml, in which the metrics of `evaluate` are there."""
    folder = params_with()
    (folder / "metrics").mkdir()
    (folder / "metrics/evaluation.json").write_text(json.dumps(EVALUATION))
    return folder


def test_metrics_are_those_that_dvc_yaml_declares() -> None:
    assert metric_files(ROOT) == {"metrics/evaluation.json": "evaluate", "metrics/diagnosis.json": "diagnose"}


def test_an_interval_belongs_to_its_metric_and_n_is_none() -> None:
    found = metrics(EVALUATION, {"accuracy": 0.96, "ece": "broken"})
    assert found == [Metric("accuracy", 0.9629, 0.9434, 0.9759, 0.96), Metric("ece", 0.029, None, None, None)]
    assert found[0].change == pytest.approx(0.0029)
    assert (str(found[0]), str(found[1])) == (
        "accuracy 0.9629 (0.29 percentage points higher than before)",
        "ece 0.0290",
    )
    assert metric_rows(found)[0] == {
        "metric": "accuracy",
        "value": "0.9629",
        "interval": "0.9434 to 0.9759",
        "previous": "0.9600",
        "change": "+0.0029",
    }


def test_a_change_has_its_unit_and_direction() -> None:
    accuracy, ece, count, same = metrics(
        {"accuracy": 0.9, "ece": 0.05, "batches": 3.5, "log_loss": 0.2},
        {"accuracy": 0.987, "ece": 0.03, "batches": 3.0, "log_loss": 0.2},
    )
    assert accuracy.comparison == "8.70 percentage points lower than before"
    assert ece.comparison == "0.0200 higher than before"
    assert count.comparison == "0.5000 higher than before"
    assert same.comparison == "as before"


def test_nested_metrics_have_the_names_that_dvc_gives_them(root: Path) -> None:
    (root / "metrics/diagnosis.json").write_text('{"roc_auc": {"train": 0.9, "test": {"first": 0.8}}}')
    found = read_metrics(root)["metrics/diagnosis.json"]
    assert [(metric.name, metric.value) for metric in metrics(found, {})] == [
        ("roc_auc.train", 0.9),
        ("roc_auc.test.first", 0.8),
    ]


def test_a_damaged_file_of_metrics_is_left_out(root: Path) -> None:
    (root / "metrics/diagnosis.json").write_text('{"verdict": ')
    assert read_metrics(root) == {"metrics/evaluation.json": EVALUATION}


def test_a_run_is_compared_with_the_files_before_it_or_else_with_the_last_commit(root: Path) -> None:
    assert previous_metrics(root) == Previous({"metrics/evaluation.json": EVALUATION}, "the values before this run")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    (root / "metrics/evaluation.json").unlink()
    assert previous_metrics(root) == Previous({"metrics/evaluation.json": EVALUATION}, "the last commit")


def test_without_git_there_is_nothing_to_compare_with(root: Path) -> None:
    (root / "metrics/evaluation.json").unlink()
    assert previous_metrics(root).values == {}


def test_what_a_stage_that_did_not_complete_left_is_not_shown(root: Path) -> None:
    assert [metric.name for metric in results(root, Run({"evaluate": "ran"}, {}, NOTHING)).metrics] == ["accuracy", "ece"]
    failed = results(root, Run({"evaluate": "failed", "report": "not run"}, {}, NOTHING))
    assert failed == Results([], None, None, None)
    assert str(failed) == ""


def test_the_summary_has_the_metrics_the_report_the_overrides_and_each_stage(root: Path) -> None:
    previous = Previous({"metrics/evaluation.json": {"accuracy": 0.95}}, "the last commit")
    run = Run(
        {"evaluate": "ran", "report": "unchanged"}, {"evaluate": Usage(2.8, 690_000_000)}, previous, "`train.epochs=2` (…)"
    )
    page = summary(root, run, results(root, run))
    assert "| accuracy | 0.9629 | 0.9434 to 0.9759 | 0.9500 | +0.0129 |" in page
    assert "Measured on 539 test examples. Compared with the last commit." in page
    assert f"**Report:** `report/index.html` in `{root}`" in page
    assert "**Parameters:** `train.epochs=2`" in page
    assert "| evaluate | ran | 2.8 s | 690 MB |" in page
    assert "| report | unchanged |" in page


def test_the_summary_says_what_each_remedy_is_expected_to_bring_and_on_what_that_rests(root: Path) -> None:
    stop = Remedy(action="Stop early.", expected_gain=0.04, ci=(0.02, 0.06), unit="nats", basis="pilot", source="Three seeds.")
    private = Remedy(
        action="Add noise.", expected_gain=None, ci=None, unit=None, basis="literature", source="Yeom et al. 2018."
    )
    question = Question("gap", "Gap", "", "", "", "nats")
    found = [question.answer("flag", "", 1, remedy=remedy) for remedy in (stop, private)]
    diagnosis = Diagnosis(verdict="overtrained", headline="", flags=[], answered=[], findings=found, confidence=0.95)
    page = summary(root, Run({"diagnose": "ran"}, {}, NOTHING), Results([], None, diagnosis, None))
    assert "- Stop early. Expected gain: 0.0400 nats (0.0200 to 0.0600). Basis: a pilot run. Three seeds.\n" in page
    assert "- Add noise. Basis: the literature. Yeom et al. 2018.\n" in page


def test_only_a_stage_that_ran_used_time_and_memory() -> None:
    used = {"train": Usage(75.0, None), "report": Usage(1.0, 10**9)}
    rows = stage_rows(Run({"train": "ran", "report": "restored"}, used, NOTHING))
    assert [(row["runtime"], row["peak memory"]) for row in rows] == [("1 min 15 s", ""), ("", "")]


def test_tags_are_the_choices_of_params_yaml() -> None:
    params = {"seed": 0, "train": {"epochs": 3, "model": {"name": "mlp", "hidden": [64]}}, "n": {"name": 3}}
    assert choice_tags(params) == ["model: mlp"]


def test_usage_is_of_this_run_and_of_stages_that_ended_well(tmp_path: Path) -> None:
    line = {"stage": "train", "outcome": "ran", "peak_memory_bytes": 5, "finished": "2026-01-02T00:00:04+00:00"}
    lines = [
        line | {"started": "2026-01-01T00:00:00+00:00"},
        line | {"started": "2026-01-02T00:00:01+00:00"},
        line | {"stage": "report", "outcome": "failed", "started": "2026-01-02T00:00:01+00:00"},
    ]
    (tmp_path / ".dvc/tmp/goodfit").mkdir(parents=True)
    text = "\n".join(json.dumps(item) for item in lines) + '\n{"stage": "train", "outc'
    (tmp_path / ".dvc/tmp/goodfit/journal.jsonl").write_text(text)
    assert usage_since(tmp_path, datetime(2026, 1, 2, tzinfo=UTC)) == {"train": Usage(3.0, 5)}
    assert usage_since(tmp_path / "nothing", datetime(2026, 1, 2, tzinfo=UTC)) == {}


def test_memory_is_in_the_unit_that_a_person_would_use() -> None:
    assert (memory(None), memory(312_400_000), memory(1_440_000_000)) == ("", "312 MB", "1.4 GB")
