"""Every schedule of the folder against torch's scheduler over whole runs, or, where torch has none, against a table by hand.

A schedule without a reference here fails.
"""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic_core import PydanticCustomError
from torch import optim
from torch.optim import lr_scheduler

from tasks.core.errors import ParamsError
from tasks.core.settings import validate
from tasks.learning.loop import fit
from tasks.learning.schedule import with_warmup
from tasks.train import Train
from tests.tasks.learning.test_learning import SCHEDULES, build, learner, linear

STEPS_PER_EPOCH, EPOCHS = 7, 12
STEPS = STEPS_PER_EPOCH * EPOCHS
RATE = 0.3


def ours(
    stated: dict[str, Any], val_losses: list[float] | None = None, warmup_epochs: float = 0.0, start_fraction: float = 0.0
) -> list[float]:
    """The learning rate of each step of a run."""
    built = with_warmup(SCHEDULES.choose(stated), STEPS_PER_EPOCH, EPOCHS, warmup_epochs, start_fraction)
    losses = val_losses or [1.0] * EPOCHS
    return [RATE * built(step, losses[: step // STEPS_PER_EPOCH]) for step in range(STEPS)]


def optimizer() -> optim.Optimizer:
    return optim.SGD(linear().parameters(), RATE)


def each_epoch(make: Callable[[optim.Optimizer], lr_scheduler.LRScheduler]) -> list[float]:
    """The rates of a scheduler of torch that is stepped once per epoch."""
    sgd = optimizer()
    torchs, rates = make(sgd), []
    for _ in range(EPOCHS):
        for _ in range(STEPS_PER_EPOCH):
            rates.append(sgd.param_groups[0]["lr"])
            sgd.step()
        torchs.step()
    return rates


def each_step(make: Callable[[optim.Optimizer], lr_scheduler.LRScheduler]) -> list[float]:
    """The rates of a scheduler of torch that is stepped after every batch."""
    sgd = optimizer()
    torchs, rates = make(sgd), []
    for step in range(STEPS):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        if step < STEPS - 1:
            torchs.step()
    return rates


def each_loss(losses: list[float], **options: Any) -> list[float]:
    """The rates of torch's ReduceLROnPlateau, which is told the validation loss after each epoch."""
    sgd = optimizer()
    torchs, rates = lr_scheduler.ReduceLROnPlateau(sgd, eps=0, **options), []
    for epoch in range(EPOCHS):
        for _ in range(STEPS_PER_EPOCH):
            rates.append(sgd.param_groups[0]["lr"])
            sgd.step()
        torchs.step(losses[epoch])
    return rates


def one_cycle(**options: Any) -> list[float]:
    return each_step(lambda sgd: lr_scheduler.OneCycleLR(sgd, max_lr=RATE, total_steps=STEPS, cycle_momentum=False, **options))


def by_hand(*factors: float) -> list[float]:
    return [RATE * factor for factor in factors]


# Of 84 steps, a quarter (21) of warm-up and a quarter of decay.
WARM = [step / 21 for step in range(21)]
SHARES = [step / 21 for step in range(21)]
QUARTERS = {"warmup_fraction": 0.25, "decay_fraction": 0.25}

# By name: the options that are not the defaults, and the rates of the reference.
REFERENCES: dict[str, list[tuple[dict[str, Any], Callable[[], list[float]]]]] = {
    "constant": [({}, lambda: [RATE] * STEPS)],
    "step": [({"step_size": 5, "gamma": 0.3}, lambda: each_epoch(lambda sgd: lr_scheduler.StepLR(sgd, 5, 0.3)))],
    "multistep": [
        ({"milestones": [3, 8]}, lambda: each_epoch(lambda sgd: lr_scheduler.MultiStepLR(sgd, [3, 8]))),
        (
            {"milestones": [8, 3, 8], "gamma": 0.5},
            lambda: each_epoch(lambda sgd: lr_scheduler.MultiStepLR(sgd, [8, 3, 8], gamma=0.5)),
        ),
    ],
    "exponential": [({"gamma": 0.9}, lambda: each_epoch(lambda sgd: lr_scheduler.ExponentialLR(sgd, 0.9)))],
    "polynomial": [
        ({}, lambda: each_step(lambda sgd: lr_scheduler.PolynomialLR(sgd, STEPS))),
        ({"power": 0.9}, lambda: each_step(lambda sgd: lr_scheduler.PolynomialLR(sgd, STEPS, power=0.9))),
    ],
    "cosine": [
        ({}, lambda: each_epoch(lambda sgd: lr_scheduler.CosineAnnealingLR(sgd, EPOCHS))),
        (
            {"final_fraction": 0.1},
            lambda: each_epoch(lambda sgd: lr_scheduler.CosineAnnealingLR(sgd, EPOCHS, eta_min=0.1 * RATE)),
        ),
    ],
    "onecycle": [
        ({}, one_cycle),
        ({"three_phase": True}, lambda: one_cycle(three_phase=True)),
        ({"pct_start": 0.0}, lambda: one_cycle(pct_start=0.0)),
        ({"pct_start": 1.0}, lambda: one_cycle(pct_start=1.0)),
        (
            {"pct_start": 0.21, "div_factor": 10.0, "final_div_factor": 50.0, "anneal_strategy": "linear"},
            lambda: one_cycle(pct_start=0.21, div_factor=10.0, final_div_factor=50.0, anneal_strategy="linear"),
        ),
    ],
    "wsd": [
        (QUARTERS, lambda: by_hand(*WARM, *[1] * 42, *(1 - math.sqrt(share) for share in SHARES))),
        (
            {**QUARTERS, "decay_type": "linear", "final_fraction": 0.2},
            lambda: by_hand(*WARM, *[1] * 42, *(1 - 0.8 * share for share in SHARES)),
        ),
        (
            {**QUARTERS, "decay_type": "cosine", "warmup_fraction": 0.0},
            lambda: by_hand(*[1] * 63, *((1 + math.cos(math.pi * share)) / 2 for share in SHARES)),
        ),
        ({"warmup_fraction": 0.0, "decay_fraction": 0.0}, lambda: [RATE] * STEPS),
    ],
    "plateau": [({"patience": 3}, lambda: each_loss([1.0] * EPOCHS, patience=3))],
}


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_the_rates_of_a_whole_run_are_those_of_torch_or_of_the_table(name: str) -> None:
    for options, reference in REFERENCES[name]:
        assert ours({"name": name, **options}) == pytest.approx(reference(), rel=1e-9, abs=1e-15)


def test_the_references_name_no_schedule_that_is_gone() -> None:
    assert set(REFERENCES) == set(SCHEDULES.names())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 0},
        {"patience": 1, "cooldown": 2, "factor": 0.5},
        {"patience": 1, "threshold": 0.2, "factor": 0.5},
        {"patience": 0, "threshold": 0.05, "threshold_mode": "abs", "factor": 0.5},
    ],
)
def test_plateau_reduces_where_torch_does(seed: int, options: dict[str, Any]) -> None:
    drawn = random.Random(seed)
    losses = [drawn.uniform(0.5, 1) for _ in range(EPOCHS)]
    assert ours({"name": "plateau", **options}, losses) == pytest.approx(each_loss(losses, **options), rel=1e-9)


def test_plateau_stops_at_its_smallest_fraction_as_torch_at_its_smallest_rate() -> None:
    losses = [1.0] * EPOCHS
    expected = each_loss(losses, patience=1, min_lr=0.02 * RATE)
    assert ours({"name": "plateau", "patience": 1, "min_fraction": 0.02}, losses) == pytest.approx(expected, rel=1e-9)


def test_onecycle_ends_a_phase_of_a_single_step_at_once() -> None:
    assert build(SCHEDULES, {"name": "onecycle"}, 1, 1)(0, []) == pytest.approx(1 / 250_000)
    assert build(SCHEDULES, {"name": "onecycle", "pct_start": 0.5}, 1, 2)(0, []) == 1.0  # torch divides by zero here


@pytest.mark.parametrize(("epochs", "steps"), [(2.0, 14), (1.5, 10), (0.1, 1)])
def test_a_warm_up_rises_as_linearlr_does(epochs: float, steps: int) -> None:
    expected = each_step(lambda sgd: lr_scheduler.LinearLR(sgd, start_factor=0.01, total_iters=steps))
    assert ours({"name": "constant"}, warmup_epochs=epochs, start_fraction=0.01) == pytest.approx(expected, rel=1e-9)


# By name: options with which a schedule acts within a few epochs, where the defaults do not.
ACTING: dict[str, dict[str, Any]] = {
    "step": {"step_size": 2},
    "multistep": {"milestones": [1, 3]},
    "plateau": {"patience": 0, "threshold": 0.9},
}


@pytest.mark.parametrize("name", SCHEDULES.names())
@pytest.mark.parametrize(("warmup_epochs", "steps"), [(3.0, 21), (0.5, 4)])
def test_after_a_warm_up_the_schedule_has_the_steps_that_remain(name: str, warmup_epochs: float, steps: int) -> None:
    stated = {"name": name} | ACTING.get(name, {})
    rates = ours(stated, warmup_epochs=warmup_epochs)
    assert rates[:steps] == pytest.approx([RATE * step / steps for step in range(steps)])
    assert (len(set(rates[steps:])) > 1) == (name != "constant")
    chosen = SCHEDULES.choose(stated)
    remaining = chosen.module.build(chosen.settings, STEPS_PER_EPOCH, (STEPS - steps) / STEPS_PER_EPOCH)
    losses = [[1.0] * (step // STEPS_PER_EPOCH - steps // STEPS_PER_EPOCH) for step in range(steps, STEPS)]
    assert rates[steps:] == [RATE * remaining(step, seen) for step, seen in enumerate(losses)]


@pytest.mark.parametrize(("warmup_epochs", "left_out"), [(3.0, 3), (2.5, 2)])
def test_plateau_is_not_told_the_losses_of_a_warm_up(warmup_epochs: float, left_out: int) -> None:
    """These fall below what the full rate reaches at first: counted, they would reduce it after the warm-up."""
    losses = [0.1] * left_out + [1.0 - 0.01 * epoch for epoch in range(EPOCHS - left_out)]
    options = {"patience": 1, "threshold": 0.0, "factor": 0.5}
    warm = round(warmup_epochs * STEPS_PER_EPOCH)
    assert ours({"name": "plateau", **options}, losses, warmup_epochs)[warm:] == [RATE] * (STEPS - warm)


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_the_loop_gives_every_group_its_own_share_of_the_rate(name: str) -> None:
    model = linear()
    weight, bias = model.parameters()
    sgd = optim.SGD([{"params": [weight], "lr": 0.2}, {"params": [bias], "lr": 0.02}])
    built = learner(model, sgd)
    chosen = build(SCHEDULES, {"name": name} | ACTING.get(name, {}), 4, 5)
    history = fit(type(built)(**{**vars(built), "schedule": chosen}), epochs=5)
    factors = [chosen(step, [row.val_loss or 0.0 for row in history[: step // 4]]) for step in (3, 7, 11, 15, 19)]
    assert (len(set(factors)) > 1) == (name != "constant")
    assert [row.learning_rate for row in history] == [0.2 * factor for factor in factors]
    assert sgd.param_groups[1]["lr"] == 0.02 * factors[-1]


def test_a_warm_up_that_starts_at_zero_changes_no_weight_in_its_first_step() -> None:
    model, untouched = linear(), linear()
    built = learner(model, optim.SGD(model.parameters(), 0.1))
    fit(type(built)(**{**vars(built), "schedule": lambda step, losses: 0.0}), epochs=1)
    assert all(torch.equal(mine, first) for mine, first in zip(model.parameters(), untouched.parameters(), strict=True))


def test_a_warm_up_as_long_as_the_run_is_refused() -> None:
    stated = {
        "epochs": 3,
        "batch_size": 4,
        "model": {"name": "linear"},
        "loss": {"name": "mse"},
        "optimizer": {"name": "sgd"},
        "schedule": {"name": "constant"},
        "augmentation": {"name": "none"},
        "mixing": {"name": "none"},
        "averaging": {"name": "none"},
        "warmup": {"epochs": 3},
    }
    with pytest.raises(ParamsError, match=r"warmup\.epochs is 3; expected less than the epochs of the run, 3"):
        validate(Train, stated)


def test_wsd_refuses_parts_that_are_longer_than_the_run() -> None:
    stated = {"name": "wsd", "warmup_fraction": 0.6, "decay_fraction": 0.6}
    with pytest.raises(PydanticCustomError) as refused:
        SCHEDULES.choose(stated)
    assert "warmup_fraction: 0.6 and decay_fraction: 0.6 are more than the whole run" in str(refused.value.context)
