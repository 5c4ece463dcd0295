"""Stage `train`: from two splits to a model, its history and its dynamics."""

import csv
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.stages import call
from flows.parameters.recipes import use_recipe
from tasks.contracts.splits import FOLDER, Dataset, Split, write_dataset, write_split
from tasks.contracts.trained import DYNAMICS, HISTORY, MODEL, WEIGHTS, read_dynamics, read_history, read_model
from tasks.core.errors import ArtifactError, ParamsError, TrainingError
from tasks.core.settings import load_yaml, validate
from tasks.learning.inference import Preparation, predict, rebuild
from tasks.train import Params
from tests.conftest import ROOT
from tests.tasks.learning.test_learning import blobs

ParamsWith = Callable[..., Path]
SUM = {"name": "imported", "import": "torch.nn:CrossEntropyLoss", "options": {"reduction": "sum"}}
QUICK = ("epochs: 150 ", "epochs: 4 ")


def processed(root: Path, val_rows: int = 30) -> Path:
    """Write the splits that `preprocess` would."""
    write_split(root, "train", blobs(60))
    write_split(root, "val", blobs(val_rows, seed=1))
    counts = {"train": [20, 20, 20], "val": [val_rows // 3] * 3, "test": [0, 0, 0]}
    write_dataset(
        root,
        Dataset.model_validate(
            {
                "name": "blobs",
                "classes": ["a", "b", "c"],
                "shape": (1, 2, 2),
                "counts": counts,
                "mean": [0.3],
                "deviation": [0.3],
                "rows": "",
            }
        ),
    )
    return root


def test_writes_a_model_that_has_learned(params_with: ParamsWith, capsys: pytest.CaptureFixture[str]) -> None:
    root = processed(params_with(("epochs: 150 ", "epochs: 20 ")))
    call("train", root)
    history = read_history(root)
    assert history["val_accuracy"].iloc[-1] == 1.0
    described, weights = read_model(root)
    assert (described.epochs, described.chosen_epoch, described.chosen_by) == (20, 20, "last epoch")
    assert set(weights) == {"1.weight", "1.bias", "4.weight", "4.bias"}
    assert "train: 20 epochs, kept 20 (last epoch)" in capsys.readouterr().out


def test_a_schedule_free_training_saves_the_weights_that_it_measured(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK, ("name: adam, learning_rate: 0.01", "name: schedulefree_adamw, learning_rate: 0.01")))
    call("train", root)
    described, weights = read_model(root)
    val = blobs(30, seed=1)
    logits = predict(rebuild(described, weights), val.images, Preparation(described.mean, described.deviation))
    loss = torch.nn.functional.cross_entropy(logits, val.labels).item()
    assert loss == pytest.approx(read_history(root)["val_loss"].iloc[-1], rel=1e-6)


def test_two_runs_write_the_same_bytes(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK, ("hidden: [64]}", "hidden: [64], dropout: 0.5}")))
    runs = []
    for _ in range(2):
        torch.rand(3)  # what others draw from torch's global generator changes nothing
        call("train", root)
        runs.append([(root / file).read_bytes() for file in (WEIGHTS, MODEL, HISTORY, DYNAMICS)])
    assert runs[0] == runs[1]


def test_gives_torchs_global_generator_back_as_it_was(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK))
    before = torch.random.get_rng_state()
    call("train", root)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_history_has_its_columns_and_floats_that_read_back_exactly(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK))
    call("train", root)
    with (root / HISTORY).open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch", "step", "learning_rate", "last_batch_loss", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
    ]  # fmt: skip
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    table = read_history(root)
    assert [float(row["train_loss"]) for row in rows] == table["train_loss"].tolist()
    assert table["val_loss"].iloc[-1] == pytest.approx(read_dynamics(root).val_loss[-1].mean().item(), rel=1e-6)


def test_without_a_validation_split_its_columns_are_empty(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK), val_rows=0)
    call("train", root)
    assert read_history(root)[["val_loss", "val_accuracy"]].isna().all(axis=None)
    assert read_dynamics(root).val_loss.shape == (4, 0)


def test_early_stopping_keeps_the_weights_of_the_epoch_with_the_lowest_val_loss(params_with: ParamsWith) -> None:
    root = processed(
        params_with(
            ("enabled: false ", "enabled: true "),
            ("patience: 5 ", "patience: 2 "),
            ("learning_rate: 0.01}", "learning_rate: 0.3}"),
        )
    )
    # Half of the validation labels contradict train: the more certain the model, the worse.
    val = blobs(30, seed=1)
    write_split(
        root, "val", Split(val.images, torch.where(torch.arange(30) % 2 == 0, val.labels, (val.labels + 1) % 3), val.rows)
    )
    call("train", root)
    history, (described, _) = read_history(root), read_model(root)
    assert described.chosen_by == "lowest val_loss"
    assert described.chosen_epoch == history["val_loss"].to_numpy().argmin() + 1
    assert described.epochs == len(history) == described.chosen_epoch + 2


def test_early_stopping_without_validation_rows_is_refused(params_with: ParamsWith) -> None:
    root = processed(params_with(("enabled: false ", "enabled: true ")), val_rows=0)
    with pytest.raises(ParamsError, match=r"preprocess\.val_fraction"):
        call("train", root)


def test_plateau_without_validation_rows_is_refused(params_with: ParamsWith) -> None:
    root = processed(params_with(("{name: constant}", "{name: plateau}")), val_rows=0)
    with pytest.raises(ParamsError, match=r"train\.schedule is plateau.*preprocess\.val_fraction"):
        call("train", root)


def test_a_warm_up_rises_within_the_first_epochs_and_is_in_the_history(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK, ("    epochs: 0.0  ", "    epochs: 1.5  ")))  # three of eight steps, two in each epoch
    call("train", root)
    assert read_history(root)["learning_rate"].tolist() == pytest.approx([0.01 / 3, 0.01, 0.01, 0.01])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate": 2}, "loss.class_weights: found weights with accumulate above 1"),
        ({"devices": 2}, "loss.class_weights: found weights with accumulate above 1 or several devices"),
        (
            {"precision": "16-mixed", "regularisation": {"sam_radius": 0.05}},
            "regularisation.sam_radius: found a radius with precision",
        ),
        ({"loss": SUM, "accumulate": 2}, r"loss\.options\.reduction: found 'sum' with accumulate above 1 or several devices"),
        ({"loss": SUM, "devices": 2}, r"loss\.options\.reduction: found 'sum' with accumulate above 1 or several devices"),
        (
            {"optimizer": {"name": "schedulefree_adamw"}, "averaging": {"name": "ema"}},
            "averaging: found ema with the optimizer schedulefree_adamw, whose own average",
        ),
    ],
)
def test_what_would_be_another_training_than_it_says_is_refused(changes: dict[str, object], message: str) -> None:
    document = load_yaml(ROOT / "recipes/digits.yaml")
    document["train"] |= {"loss": {"name": "cross_entropy", "class_weights": [1.0] * 10}} | changes
    with pytest.raises(ParamsError, match=message):
        validate(Params, {key: document[key] for key in ("seed", "threads", "train")})


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": SUM},
        {"loss": {**SUM, "options": {"reduction": "mean"}}, "accumulate": 2},
        {"optimizer": {"name": "schedulefree_adamw"}},
    ],
)
def test_what_is_the_training_that_it_says_is_accepted(changes: dict[str, object]) -> None:
    document = load_yaml(ROOT / "recipes/digits.yaml")
    document["train"] |= changes
    validate(Params, {key: document[key] for key in ("seed", "threads", "train")})


def test_a_diverging_run_says_so_and_leaves_no_output(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK, ("learning_rate: 0.01}", "learning_rate: 1.0e+30}")))
    with pytest.raises(TrainingError, match="try a tenth of it"):
        call("train", root)
    assert not (root / "models").exists()
    assert not (root / "results").exists()


def test_a_last_step_that_diverges_is_told_too(params_with: ParamsWith) -> None:
    one_step = (("epochs: 150 ", "epochs: 1 "), ("batch_size: 32 ", "batch_size: 60 "), ("name: adam,", "name: sgd,"))
    root = processed(params_with(*one_step, ("learning_rate: 0.01}", "learning_rate: 1.0e+38}")))
    with pytest.raises(TrainingError, match=r"the loss on train is nan after step 1 \(epoch 1, batch 1\)"):
        call("train", root)
    assert not (root / "results").exists()


@pytest.mark.parametrize(("damage", "message"), [(None, "is missing"), (b"\x10\x00\x00", "is damaged"), (b"", "is damaged")])
def test_a_split_that_is_missing_or_damaged_names_the_stage_to_run(
    params_with: ParamsWith, damage: bytes | None, message: str
) -> None:
    root = processed(params_with(QUICK))
    path = root / FOLDER / "train.safetensors"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(ArtifactError, match=f"{message}.*run the stage 'preprocess' again"):
        call("train", root)


@pytest.mark.slow
@pytest.mark.mnist
def test_the_textbook_recipe_ends_with_the_textbooks_loss(mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOODFIT_MIRROR", mnist.as_uri())
    for file in ("dvc.yaml", "recipes"):
        (shutil.copytree if file == "recipes" else shutil.copy2)(ROOT / file, tmp_path / file)
    use_recipe("mnist-linear", tmp_path)
    for stage in ("download", "preprocess", "train", "evaluate"):
        call(stage, tmp_path)
    last = read_history(tmp_path)["last_batch_loss"].iloc[-1]
    # The plain script's, on x86-64 with torch 2.15; another CPU may differ in the last digits.
    assert math.isclose(last, 0.14105679094791412, rel_tol=1e-5)
    assert '"accuracy": 0.9165' in (tmp_path / "metrics/evaluation.json").read_text()
