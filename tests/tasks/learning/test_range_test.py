"""`learning_rate: auto`: what is chosen, that training is the one with that number, and what is said where there is none."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic_core import PydanticCustomError
from torch import Tensor, nn, optim

from benchmarks.stages import call
from tasks.contracts.splits import Split, write_split
from tasks.contracts.trained import DYNAMICS, HISTORY, MODEL, WEIGHTS, RangeTest, read_history, read_range_test
from tasks.core.errors import ArtifactError, TrainingError
from tasks.core.settings import keys_of
from tasks.learning import checkpoint
from tasks.learning import range_test as range_tests
from tasks.learning.loop import fit
from tasks.learning.position import CHECKPOINT_VARIABLE
from tasks.learning.range_test import DIVERGED, RATES, SKIPPED, STEPS, choose, has_diverged, range_test, smooth
from tests.tasks.learning.test_learning import OPTIMIZERS, blobs, build, learner, linear
from tests.tasks.test_train import QUICK, processed

ParamsWith = Callable[..., Path]
AUTO = ("learning_rate: 0.01}", "learning_rate: auto}")
OUTPUTS = (WEIGHTS, MODEL, HISTORY)
WITH_RATE = [name for name in OPTIMIZERS.names() if "learning_rate" in keys_of(OPTIMIZERS.settings(name))]


def stated(name: str, rate: object) -> dict[str, Any]:
    return {"name": name, "learning_rate": rate} | ({"import": "torch.optim:Adamax"} if name == "imported" else {})


def found_by(optimizer: dict[str, Any], model: nn.Module | None = None) -> RangeTest:
    model = model or linear()
    return range_test(learner(model, build(OPTIMIZERS, optimizer, model.parameters())))


# The option


@pytest.mark.parametrize("name", WITH_RATE)
def test_every_optimizer_takes_a_number_or_auto(name: str) -> None:
    chosen = OPTIMIZERS.choose(stated(name, "auto"))
    assert chosen.resolved()["learning_rate"] == "auto"
    assert OPTIMIZERS.choose(stated(name, 1)).resolved()["learning_rate"] == 1.0


def test_all_optimizers_have_the_rate() -> None:
    assert OPTIMIZERS.names() == WITH_RATE


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ("atuo", ".learning_rate: found 'atuo' (str); it should be a number above 0, or auto; did you mean 'auto'?"),
        ("AUTO", ".learning_rate: found 'AUTO' (str); it should be a number above 0, or auto; did you mean 'auto'?"),
        ("0.01", ".learning_rate: found '0.01' (str); it should be a number above 0, or auto"),
        (0, ".learning_rate: found 0; it should be greater than 0"),
        (True, ".learning_rate: found True (bool); it should be a valid number"),
        (None, ".learning_rate: found None (NoneType); it should be a valid number"),
    ],
)
def test_anything_else_is_refused_in_one_line(rate: object, message: str) -> None:
    with pytest.raises(PydanticCustomError) as error:
        OPTIMIZERS.choose(stated("adam", rate))
    assert (error.value.context or {})["lines"] == [message]


def test_the_schema_for_editors_has_both() -> None:
    schema = OPTIMIZERS.settings("adam").model_json_schema()["properties"]["learning_rate"]
    assert schema["anyOf"] == [{"exclusiveMinimum": 0, "type": "number"}, {"const": "auto"}]
    assert schema["default"] == 0.001


def test_schedule_free_has_no_warm_up_of_its_own_with_auto() -> None:
    with pytest.raises(PydanticCustomError) as error:
        OPTIMIZERS.choose({**stated("schedulefree_adamw", "auto"), "warmup_steps": 5})
    assert "state train.warmup.epochs instead" in (error.value.context or {})["lines"][0]


# The choice


def test_the_rates_rise_exponentially() -> None:
    assert (len(RATES), RATES[0], RATES[-1]) == (STEPS, 1e-7, 10.0)
    factors = [after / before for before, after in pairwise(RATES)]
    assert factors == pytest.approx([1e8 ** (1 / (STEPS - 1))] * (STEPS - 1), rel=0.01)


def test_the_smoothed_loss_is_the_weighted_mean_of_the_losses_so_far() -> None:
    assert smooth([3.0]) == pytest.approx([3.0])
    assert smooth([3.0, 1.0, 2.0])[-1] == pytest.approx((0.81 * 3 + 0.9 * 1 + 2) / (0.81 + 0.9 + 1))


def test_diverged_is_above_four_times_the_lowest() -> None:
    assert DIVERGED == 4
    assert not has_diverged([0.5, 1.0, 2.0])
    assert has_diverged([0.5, 1.0, 2.1])
    assert not has_diverged([-1.0, 2.0])  # an imported loss; three times 1 above the lowest
    assert has_diverged([-1.0, 2.1])


def test_a_tenth_of_the_rate_with_the_lowest_smoothed_loss_is_chosen() -> None:
    losses = [2.0] * 200 + [2.0 - 0.01 * step for step in range(100)] + [5.0] * 3
    lowest = smooth(losses).index(min(smooth(losses)))
    assert lowest == 299
    assert choose(losses, smooth(losses)) == pytest.approx(RATES[299] / 10, rel=0.005)


def test_noise_is_no_fall_of_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = (2.3 + 0.1 * torch.randn(STEPS, generator=generator)).tolist()
    with pytest.raises(
        TrainingError, match=r"no learning rate from 1e-07 to 10 lowers the loss .*State a number in place of auto"
    ):
        choose(noise, smooth(noise))
    falling = [loss - 0.01 * max(0, step - 200) for step, loss in enumerate(noise)]
    assert choose(falling, smooth(falling)) == pytest.approx(RATES[-1] / 10, rel=0.3)


def test_a_loss_that_diverges_at_once_has_no_rate() -> None:
    losses = [2.0] * (SKIPPED - 1)
    with pytest.raises(TrainingError, match="it diverged at once"):
        choose(losses, smooth(losses))


@pytest.mark.parametrize("name", WITH_RATE)
def test_the_chosen_rate_trains(name: str) -> None:
    found = found_by(stated(name, 1.0))
    assert len(found.rates) == len(found.losses) > SKIPPED
    model = linear()
    optimizer = build(OPTIMIZERS, stated(name, found.chosen), model.parameters())
    built = learner(model, optimizer)
    history = fit(built, epochs=10)
    assert history[-1].train_loss < 0.5 * history[0].last_batch_loss
    assert history[-1].train_accuracy > 0.9


def test_it_stops_where_the_loss_diverges_and_not_before(capsys: pytest.CaptureFixture[str]) -> None:
    found = found_by({"name": "sgd", "learning_rate": 1.0, "momentum": 0.9})
    assert found.rates == RATES[: len(found.rates)]
    *before, last = found.losses
    assert len(found.rates) == STEPS or last > DIVERGED * min(before)
    printed = capsys.readouterr().out
    assert re.search(
        rf"^train: learning rate {found.chosen:g}, chosen by a range test of {len(found.rates)} steps ", printed, re.MULTILINE
    )


class Exploding(nn.Module):
    """A linear model whose logits are no numbers once its weights are larger than 3."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear()

    def forward(self, images: Tensor) -> Tensor:
        largest = max(weight.abs().max() for weight in self.inner.parameters())
        logits: Tensor = self.inner(images)
        return logits * torch.where(largest > 3, torch.nan, 1.0)


def test_a_loss_that_is_no_number_ends_the_test_and_is_not_in_the_curve() -> None:
    found = found_by({"name": "sgd", "learning_rate": 1.0, "momentum": 0.9}, Exploding())
    assert SKIPPED < len(found.rates) < STEPS
    assert all(loss < 10 for loss in found.losses)


def test_a_model_without_gradients_is_told() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))

        def forward(self, images: Tensor) -> Tensor:
            return (self.weight * 0).expand(len(images), 3)

    with pytest.raises(TrainingError, match="no learning rate"):
        found_by({"name": "sgd", "learning_rate": 1.0}, Constant())


def test_the_batches_are_those_of_the_run_in_its_order() -> None:
    model, seen = linear(), list[Tensor]()
    built = learner(model, optim.SGD(model.parameters(), 1.0))

    def watched(images: Tensor) -> Tensor:
        seen.append(images.clone())
        logits: Tensor = model(images)
        return logits

    range_test(replace(built, forward=watched))
    expected = [images for epoch in (1, 2) for images, _ in built.batches.epoch(epoch)]
    assert all(map(torch.equal, seen, expected))


# The stage: through params.yaml


def outcome(root: Path) -> list[bytes]:
    return [(root / file).read_bytes() for file in OUTPUTS]


def with_the_number(root: Path) -> str:
    """State the number that was chosen, as a user would; return it."""
    found = read_range_test(root)
    assert found is not None
    text = (root / "params.yaml").read_text()
    assert text.count("learning_rate: auto") == 1
    (root / "params.yaml").write_text(text.replace("learning_rate: auto", f"learning_rate: {found.chosen!r}"))
    return f"{found.chosen:g}"


CNN = ("{name: mlp, hidden: [64]}", "{name: resnet18, stochastic_depth: 0.2}")
SGD = ("{name: adam, ", "{name: sgd, momentum: 0.9, ")
RECIPES = {
    "dropout": [("hidden: [64]}", "hidden: [64], dropout: 0.5}")],
    "momentum, average and mixup": [
        SGD,
        ("averaging: {name: none}", "averaging: {name: ema}"),
        ("mixing: {name: none}", "mixing: {name: mixup}"),
    ],
    "accumulate and bf16-mixed": [("batch_size: 32 ", "accumulate: 2\n  precision: bf16-mixed\n  batch_size: 32 ")],
    "16-mixed": [("batch_size: 32 ", "precision: 16-mixed\n  batch_size: 32 ")],
    "schedule-free": [("name: adam,", "name: schedulefree_adamw,"), ("hidden: [64]}", "hidden: [64], dropout: 0.5}")],
    "muon": [("name: adam,", "name: muon,")],
    "imported": [("name: adam,", "name: imported, import: 'torch.optim:Adamax',")],
    "batch norm": [CNN, SGD],
    "recorded step": [("hidden: [64]}", "hidden: [64], dropout: 0.5}"), ("epochs: 4 ", "epochs: 300 ")],
}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth of the steps: enough for what does not depend on their number."""
    monkeypatch.setattr(range_tests, "RATES", RATES[::8])
    monkeypatch.setattr(range_tests, "STEPS", STEPS // 8)
    monkeypatch.setattr(range_tests, "SKIPPED", SKIPPED // 8)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("recipe", RECIPES)
def test_training_ends_with_the_bits_of_the_number_written_in_params(
    params_with: ParamsWith, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = processed(params_with(QUICK, AUTO))
    text = (root / "params.yaml").read_text()
    for old, new in RECIPES[recipe]:
        assert old in text
        text = text.replace(old, new, 1)
    (root / "params.yaml").write_text(text)
    call("train", root)
    assert capsys.readouterr().out.count("chosen by a range test") == 1
    automatic = outcome(root)
    number = with_the_number(root)
    assert f"{read_history(root)['learning_rate'].iloc[-1]:.3g}" == f"{float(number):.3g}"
    call("train", root)
    assert outcome(root) == automatic
    assert read_range_test(root) is None
    assert "range test" not in capsys.readouterr().out


def test_what_is_recorded_has_the_curve_and_twice_the_same_bytes(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK, AUTO))
    runs = []
    for _ in range(2):
        call("train", root)
        runs.append((root / DYNAMICS).read_bytes())
    assert runs[0] == runs[1]
    found = read_range_test(root)
    assert found is not None
    assert found.rates == RATES[: len(found.losses)]
    later = found.losses[SKIPPED:]
    assert found.chosen == pytest.approx(found.rates[SKIPPED + later.index(min(later))] / 10, rel=0.005)


def test_where_no_rate_lowers_the_loss_nothing_is_written(params_with: ParamsWith) -> None:
    root = processed(params_with(QUICK, AUTO))
    data = blobs(60)
    write_split(root, "train", Split(torch.zeros_like(data.images), data.labels, data.rows))
    with pytest.raises(TrainingError, match=r"train\.optimizer\.learning_rate: auto.*State a number"):
        call("train", root)
    assert not (root / "results").exists()
    assert not (root / "models").exists()


def test_a_damaged_file_names_the_stage(params_with: ParamsWith) -> None:
    root = params_with()
    with pytest.raises(ArtifactError, match=r"is missing.*run the stage 'train' again"):
        read_range_test(root)
    (root / DYNAMICS).parent.mkdir()
    (root / DYNAMICS).write_bytes(b"\x10\x00\x00")
    with pytest.raises(ArtifactError, match=r"is damaged.*run the stage 'train' again"):
        read_range_test(root)


class InterruptedTrainingError(Exception):
    pass


def test_a_run_that_continues_from_its_checkpoint_ends_with_the_same_bytes(
    params_with: ParamsWith, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = processed(params_with(QUICK, AUTO, ("hidden: [64]}", "hidden: [64], dropout: 0.5}")))
    call("train", root)
    expected = [*outcome(root), (root / DYNAMICS).read_bytes()]

    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "EVERY_COSTS", 0)
    monkeypatch.setitem(os.environ, CHECKPOINT_VARIABLE, str(root / "kept.ckpt"))
    saved = checkpoint.Checkpoint.save

    def interrupted(self: checkpoint.Checkpoint, built: Any, at: Any) -> None:
        saved(self, built, at)
        if at.step == 3:
            raise InterruptedTrainingError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoint, "save", interrupted)
        with pytest.raises(InterruptedTrainingError):
            call("train", root)
    capsys.readouterr()
    call("train", root)
    assert "continuing after step 3" in capsys.readouterr().out
    assert [*outcome(root), (root / DYNAMICS).read_bytes()] == expected


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_two_processes_find_one_rate_and_train_as_with_its_number(
    params_with: ParamsWith, capfd: pytest.CaptureFixture[str]
) -> None:
    # 60 rows in batches of 59: of the last batch of an epoch the second process has no part.
    several = "devices: 2\n  accumulate: 2\n  precision: bf16-mixed\n  epochs: 3 "
    root = processed(params_with(("epochs: 150 ", several), ("batch_size: 32 ", "batch_size: 59 "), AUTO))
    call("train", root)
    assert capfd.readouterr().out.count("chosen by a range test") == 1
    automatic = outcome(root)
    with_the_number(root)
    call("train", root)
    assert outcome(root) == automatic
