"""What a faster form of the step gains is measured and told, and changes nothing that the stage writes."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn, optim

import tasks.train
from benchmarks import step_gain
from benchmarks.stages import call
from tasks.contracts.trained import DYNAMICS, HISTORY, MODEL, WEIGHTS
from tasks.core.errors import GoodfitError
from tasks.learning.gain import GAIN, measure
from tasks.learning.loop import Learner
from tests.tasks.learning.test_learning import learner, linear
from tests.tasks.test_train import processed

ParamsWith = Callable[..., Path]
QUICK = ("epochs: 150 ", "epochs: 3 ")
MIXED = ("batch_size: 32 ", "precision: bf16-mixed\n  channels_last: true\n  batch_size: 32 ")


def built(model: nn.Module | None = None) -> Learner:
    model = model or linear()
    return learner(model, optim.SGD(model.parameters(), 0.1))


class Twice(nn.Module):
    """Computes its answer many times over, and a little off."""

    def __init__(self, model: nn.Module, off: float = 0.0) -> None:
        super().__init__()
        self.model, self.off = model, off

    def forward(self, images: Tensor) -> Tensor:
        for _ in range(40):
            self.model(images)
        answered: Tensor = self.model(images)
        return answered + self.off * torch.eye(3)[0]


def test_a_form_that_takes_longer_has_a_ratio_above_one() -> None:
    chosen = built()
    gain = measure("slow", built(), replace(chosen, forward=Twice(chosen.model)), linear().state_dict(), turns=6)
    assert gain.ratio > 1.5
    assert gain.quartile_low <= gain.ratio <= gain.quartile_high
    assert (gain.form, gain.turns, gain.loss_difference) == ("slow", 6, 0.0)


def test_the_losses_are_compared_at_the_same_weights_and_without_dropout() -> None:
    plain, chosen = (built(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Dropout(0.9))) for _ in range(2))
    weights = {name: torch.zeros_like(weight) for name, weight in plain.model.state_dict().items()}
    gain = measure("off", plain, replace(chosen, forward=Twice(chosen.model, off=0.5)), weights, turns=3)
    # All logits are 0 in the one; in the other that of a third of the examples' class is 0.5.
    partition = torch.tensor([0.5, 0.0, 0.0]).logsumexp(0)
    smallest, largest = (partition - 0.5 * share - torch.tensor(3.0).log() for share in (0.6, 0.1))
    assert smallest.item() < gain.loss_difference < largest.item()


def test_time_that_is_up_leaves_three_turns() -> None:
    assert measure("same", built(), built(), linear().state_dict(), seconds=0).turns == 3


def test_the_measurement_changes_nothing_that_is_written(
    params_with: ParamsWith, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = processed(params_with(QUICK, MIXED, ("hidden: [64]}", "hidden: [64], dropout: 0.5}")))
    before = torch.get_rng_state()
    call("train", root)
    assert torch.equal(torch.get_rng_state(), before)
    measured = [(root / file).read_bytes() for file in (WEIGHTS, MODEL, HISTORY, DYNAMICS)]
    printed = capsys.readouterr().out
    with (root / GAIN).open() as file:
        (row,) = csv.DictReader(file)
    assert row["form"] == "bf16-mixed, channels_last"
    assert 0 < float(row["loss_difference"]) < 0.02
    assert f"a step with bf16-mixed, channels_last took {float(row['ratio']):.2f} of the time of 32-true here" in printed

    monkeypatch.setattr(tasks.train, "measure_gain", lambda *_, **__: None)
    call("train", root)
    assert [(root / file).read_bytes() for file in (WEIGHTS, MODEL, HISTORY, DYNAMICS)] == measured

    (root / GAIN).unlink()
    monkeypatch.undo()
    stated = root / "params.yaml"
    stated.write_text(stated.read_text().replace("learning_rate: 0.01", "learning_rate: auto"))
    step_gain.main(root)
    assert (root / GAIN).exists()


def test_a_plain_step_is_not_measured_and_an_old_measurement_goes(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK))
    (root / GAIN).parent.mkdir()
    (root / GAIN).write_text("old")
    call("train", root)
    assert not (root / GAIN).exists()
    with pytest.raises(GoodfitError, match="there is nothing to compare"):
        step_gain.main(root)
