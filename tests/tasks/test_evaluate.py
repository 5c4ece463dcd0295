"""`evaluate` on six test images, for which every number can be worked out by hand."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from scipy.stats import binomtest

from tasks.contracts.results import CALIBRATION, CONFUSION, EVALUATION, PER_CLASS, PREDICTIONS, read_table
from tasks.core.errors import ArtifactError, DataError, ParamsError
from tasks.core.settings import validate
from tasks.evaluate import Params, evaluate
from tests.tasks.diagnostics.project import CLASSES, split, write_project

# The bright pixel is the class that the model predicts: five of six are right, "right" never occurs, and one "middle" is predicted
# as "left".
SHOWN, LABELS = [0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]
LEVELS = [100, 101, 102, 103, 104, 105]
PARAMS = Params(seed=0, threads=1)
FILES = (EVALUATION, PREDICTIONS, PER_CLASS, CONFUSION, CALIBRATION)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    train, val = split([0, 1, 2], [0, 1, 2], 0, 10), split([0, 1, 2] * 4, [0, 1, 2] * 4, 100, 30)
    return write_project(tmp_path, {"train": train, "val": val, "test": split(SHOWN, LABELS, 40)}, torch.zeros(2, 12, 3))


def probability(level: int) -> float:
    """Of the class shown: its logit is 4 · level / 255, the other two have 0."""
    return math.exp(4 * level / 255) / (math.exp(4 * level / 255) + 2)


def losses() -> list[float]:
    right = [-math.log(probability(level)) for level in LEVELS[:5]]
    return [*right, math.log(math.exp(4 * LEVELS[5] / 255) + 2)]


def test_metrics_are_flat_numbers_with_the_values_worked_out_by_hand(project: Path) -> None:
    evaluate(PARAMS, project)
    found = json.loads((project / EVALUATION).read_text())
    interval = binomtest(5, 6).proportion_ci(method="wilson")
    assert list(found) == [
        "n",
        "accuracy",
        "accuracy_ci_low",
        "accuracy_ci_high",
        "macro_f1",
        "log_loss",
        "log_loss_ci_low",
        "log_loss_ci_high",
        "ece",
    ]
    assert found["n"] == 6
    assert found["accuracy"] == 5 / 6
    assert found["macro_f1"] == pytest.approx((6 / 7 + 4 / 5) / 2)  # "right" has no example and no prediction
    assert (found["accuracy_ci_low"], found["accuracy_ci_high"]) == pytest.approx((interval.low, interval.high))
    assert found["log_loss"] == pytest.approx(sum(losses()) / 6, rel=1e-6)
    assert found["log_loss_ci_low"] == pytest.approx(min(losses()), rel=1e-6)  # where the interval of six is cut
    assert found["log_loss"] < found["log_loss_ci_high"] <= max(losses())
    # All confidences lie between 0.70 and 0.73: of the 15 bins, (10/15, 11/15] holds them all.
    assert found["ece"] == pytest.approx(abs(5 / 6 - sum(map(probability, LEVELS)) / 6), rel=1e-5)


def test_predictions_name_the_row_and_hold_probabilities_that_add_up(project: Path) -> None:
    evaluate(PARAMS, project)
    table = read_table(project, PREDICTIONS, "evaluate")
    assert list(table) == ["row", "label", "predicted", "confidence", "loss", "probability_0", "probability_1", "probability_2"]
    assert table["row"].tolist() == [40, 41, 42, 43, 44, 45]
    assert table["label"].tolist() == LABELS
    assert table["predicted"].tolist() == SHOWN
    assert table["confidence"].tolist() == pytest.approx([probability(level) for level in LEVELS], rel=1e-6)
    assert table["loss"].tolist() == pytest.approx(losses(), rel=1e-6)
    assert table.filter(like="probability").sum(axis=1).tolist() == pytest.approx([1] * 6)


def test_per_class_leaves_undefined_values_empty(project: Path) -> None:
    evaluate(PARAMS, project)
    table = read_table(project, PER_CLASS, "evaluate").set_index("class")
    assert list(table) == ["n", "correct", "precision", "recall", "recall_ci_low", "recall_ci_high"]
    assert list(table.index) == CLASSES
    assert table[["n", "correct"]].values.tolist() == [[3, 3], [3, 2], [0, 0]]
    assert table["precision"].tolist()[:2] == [3 / 4, 1.0]
    assert table["recall"].tolist()[:2] == [1.0, 2 / 3]
    assert table.loc["middle", "recall_ci_low"] == pytest.approx(binomtest(2, 3).proportion_ci(method="wilson").low)
    assert table.loc["right"].drop(["n", "correct"]).isna().all()


def test_confusion_has_one_row_per_test_example_with_class_names(project: Path) -> None:
    evaluate(PARAMS, project)
    table = read_table(project, CONFUSION, "evaluate")
    assert table.value_counts().to_dict() == {("left", "left"): 3, ("middle", "middle"): 2, ("middle", "left"): 1}


def test_calibration_leaves_out_empty_bins(project: Path) -> None:
    evaluate(PARAMS, project)
    table = read_table(project, CALIBRATION, "evaluate")
    columns = ["bin_low", "bin_high", "n", "confidence", "accuracy", "accuracy_ci_low", "accuracy_ci_high"]
    assert list(table) == columns
    (row,) = table.to_dict("records")
    assert (row["bin_low"], row["bin_high"], row["n"], row["accuracy"]) == (10 / 15, 11 / 15, 6, 5 / 6)


def test_loss_stays_finite_where_a_probability_rounds_to_zero(project: Path) -> None:
    rows = {"train": split([0], [0], 0), "val": split([], [], 0), "test": split(SHOWN, LABELS, 40)}
    write_project(project, rows, torch.zeros(2, 0, 3), gain=4000.0)  # type: ignore[arg-type]
    evaluate(PARAMS, project)
    table = read_table(project, PREDICTIONS, "evaluate")
    assert table["probability_1"].iloc[5] == 0
    assert table["loss"].iloc[5] == pytest.approx(4000 * LEVELS[5] / 255)


def test_writes_the_same_bytes_twice(project: Path) -> None:
    evaluate(PARAMS, project)
    first = [(project / path).read_bytes() for path in FILES]
    evaluate(PARAMS, project)
    assert [(project / path).read_bytes() for path in FILES] == first


def test_another_seed_moves_the_bootstrap_interval_and_nothing_else(project: Path) -> None:
    evaluate(PARAMS, project)
    first = json.loads((project / EVALUATION).read_text())
    evaluate(Params(seed=3, threads=1), project)
    second = json.loads((project / EVALUATION).read_text())
    assert {key for key in first if first[key] != second[key]} <= {"log_loss_ci_low", "log_loss_ci_high"}
    assert pd.Series(first).drop("n").between(0, 3).all()


def test_refuses_an_empty_test_split(project: Path) -> None:
    rows = {"train": split([0], [0], 0), "val": split([], [], 0), "test": split([], [], 0)}
    write_project(project, rows, torch.zeros(2, 0, 3))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the test split is empty"):
        evaluate(PARAMS, project)


def test_a_missing_model_names_the_stage_to_run(project: Path) -> None:
    (project / "models/model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="run the stage 'train' again"):
        evaluate(PARAMS, project)


def test_importing_the_stages_imports_nothing_heavy() -> None:
    code = "import sys, tasks.evaluate, tasks.diagnose; print(sorted({'torch', 'numpy', 'scipy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("model", ["models/compressed/prune/model.onnx", "models/compressed/prune/model.pt2"])
def test_a_model_that_compress_did_not_make_is_named(project: Path, model: str) -> None:
    with pytest.raises(ArtifactError, match=rf"{model} is missing; .* run the stage 'compress' again"):
        evaluate(validate(Params, {"seed": 0, "threads": 1, "evaluate": {"model": model}}), project)


@pytest.mark.parametrize("model", ["model.onnx", "models/compressed/../model.onnx", "models/compressed/prune/model.pkl"])
def test_only_what_the_stages_write_is_scored(model: str) -> None:
    with pytest.raises(ParamsError, match=r"evaluate\.model: found"):
        validate(Params, {"seed": 0, "threads": 1, "evaluate": {"model": model}})
