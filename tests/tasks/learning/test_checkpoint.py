"""A training that is interrupted at any step and continued from its checkpoint ends with the bits of one that was not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tasks.core.components import Component
from tasks.core.errors import ArtifactError
from tasks.learning import checkpoint
from tasks.learning.checkpoint import Checkpoint
from tasks.learning.loop import Learner, fit
from tasks.learning.precision import Precision
from tasks.learning.stopping import Stopper
from tests.tasks.learning.test_learning import OPTIMIZERS, SCHEDULES, build, learner

EPOCHS, BATCHES = 6, 4
AVERAGING = Component("tasks.learning.averaging")
Outcome = tuple[dict[str, Tensor], list[Any], dict[str, Any]]


class InterruptedTrainingError(Exception):
    pass


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "EVERY_COSTS", 0)


def recipe(name: str, model: nn.Module) -> Learner:
    """A learner with what has a state of its own."""
    stated = {"name": "adamw" if name == "bf16" else name if name in OPTIMIZERS.names() else "sgd"}
    if name == "imported":
        stated["import"] = "torch.optim:Adam"
    built = learner(model, build(OPTIMIZERS, stated | {"learning_rate": 0.05}, model.parameters()))
    match name:
        case "ema" | "swa":
            return replace(built, averager=build(AVERAGING, {"name": name}, model, BATCHES, EPOCHS))
        case "stopping":
            return replace(built, stopper=Stopper(enabled=True, patience=5, min_delta=0.5))
        case "plateau":
            return replace(
                built, schedule=build(SCHEDULES, {"name": "plateau", "patience": 0, "threshold": 0.5}, BATCHES, EPOCHS)
            )
        case "bf16":
            return replace(built, precision=Precision("bf16-mixed"), accumulate=2)
        case "16":
            return replace(built, precision=Precision("16-mixed"))
        case _:
            return built


RECIPES = ["ema", "swa", "stopping", "plateau", "bf16", "16", *OPTIMIZERS.names()]


def trained(name: str, file: Path | None = None, interrupt_at: int | None = None) -> Outcome:
    """Weights, history and dynamics of a model with dropout and batch norm."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
        built = recipe(name, model)
        if interrupt_at is not None:
            built = replace(built, batches=Interrupting(**vars(built.batches), steps=interrupt_at))
        history = fit(built, EPOCHS, Checkpoint(file) if file else None)
        with built.measured() as measured:
            built.stopper.restore(len(history), measured)
            weights = {key: tensor.clone() for key, tensor in measured.state_dict().items()}
    recorded = vars(built.recorder.dynamics())
    return weights, history, {name: tensor for name, tensor in recorded.items() if tensor is not None}


class Interrupting(type(learner(nn.Linear(1, 1), torch.optim.SGD([torch.zeros(1)])).batches)):  # type: ignore[misc]
    """Batches that end after so many of them, as a kill does."""

    def __init__(self, *, steps: int, **fields: Any) -> None:
        super().__init__(**fields)
        object.__setattr__(self, "left", [steps])

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in super().epoch(number, start):
            if self.left[0] == 0:
                raise InterruptedTrainingError
            self.left[0] -= 1
            yield batch


def assert_same(ours: Outcome, theirs: Outcome) -> None:
    assert ours[1] == theirs[1]
    for mine, other in zip(ours[::2], theirs[::2], strict=True):
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[key], other[key]) for key in other)


@pytest.mark.parametrize("name", RECIPES)
def test_a_continued_run_ends_with_the_same_bits(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = trained(name)
    for steps in (1, BATCHES, BATCHES + 2, 3 * BATCHES + 1):
        file = tmp_path / f"{steps}.ckpt"
        with pytest.raises(InterruptedTrainingError):
            trained(name, file, interrupt_at=steps)
        assert_same(trained(name, file), expected)
        assert f"continuing after step {steps} " in capsys.readouterr().out


def test_a_run_that_is_interrupted_again_and_again_ends_with_the_same_bits(tmp_path: Path) -> None:
    file = tmp_path / "again.ckpt"
    for steps in (3, 2, 7, 1):
        with pytest.raises(InterruptedTrainingError):
            trained("ema", file, interrupt_at=steps)
    assert_same(trained("ema", file), trained("ema"))


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-10], lambda whole: b"", lambda whole: whole[:99] + b"\0" + whole[100:]]
)
def test_a_damaged_checkpoint_is_set_aside_and_training_begins_anew(
    damage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "torn.ckpt"
    with pytest.raises(InterruptedTrainingError):
        trained("sgd", file, interrupt_at=6)
    file.write_bytes(damage(file.read_bytes()))
    assert_same(trained("sgd", file), trained("sgd"))
    assert "the checkpoint is damaged; it now is" in capsys.readouterr().out
    assert (tmp_path / "torn.ckpt.damaged").exists()


def test_a_checkpoint_of_another_learner_is_set_aside_and_named(tmp_path: Path) -> None:
    file = tmp_path / "other.ckpt"
    with pytest.raises(InterruptedTrainingError):
        trained("adamw", file, interrupt_at=6)
    with pytest.raises(ArtifactError, match=r"does not fit this training .*other\.ckpt\.damaged: start the run again"):
        trained("ema", file)
    assert_same(trained("ema", file), trained("ema"))


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert_same(trained("sgd", tmp_path / "file" / "a.ckpt"), trained("sgd"))
    assert "no checkpoint was written" in capsys.readouterr().out
