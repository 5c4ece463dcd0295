"""Runs that were stopped too early, and runs that had nothing left to gain."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts.findings import Finding
from tasks.diagnostics.checks import undertrained
from tasks.diagnostics.measured import Limits, Measured
from tasks.statistics.calibration import log_losses
from tests.tasks.diagnostics.trained import splits, trained
from tests.tasks.diagnostics.worlds import epochs, measured, truth
from tests.tasks.statistics.covering import fewest, most

LIMITS = Limits(confidence=0.95, alpha=0.05, power=0.8, harm_nats=0.05, harm_accuracy=0.02)
EARLY: dict[str, Any] = {"epochs": 8, "optimizer": {"name": "adam", "learning_rate": 0.0003}}


def found(world: Measured) -> Finding:
    return undertrained.check(world, LIMITS, undertrained.Settings())


def loss(world: Measured) -> float:
    return float(log_losses(world.test_logits, world.test.labels).mean())


def sharpening(factors: list[float], n: int = 1000, seed: int = 0) -> Measured:
    """Each epoch has the true logits times its factor."""
    logits, labels = truth(n, 3, np.random.default_rng(seed))
    return measured(np.stack([factor * logits for factor in factors]).astype(np.float32), labels, n=100, seed=seed)


def test_a_run_that_was_stopped_while_the_loss_fell_is_flagged_and_doubling_gains_what_matters(tmp_path: Path) -> None:
    data = splits((500, 500, 2000), 0)
    early, longer = (trained(tmp_path / str(count), data, **EARLY | {"epochs": count}) for count in (8, 16))
    finding = found(early)
    assert finding.status == "flag"
    assert loss(early) - loss(longer) > LIMITS.harm_nats
    assert "Fix: train for twice as many epochs (train.epochs: 16)" in finding.summary
    assert finding.remedy is not None
    assert finding.remedy.expected_gain is None


def test_the_fall_is_that_from_half_of_the_epochs_to_the_last() -> None:
    world = sharpening([0.1, 0.2, 0.3, 0.5])
    mean = world.val_epochs.loss.mean(axis=1)
    finding = found(world)
    assert finding.estimate == pytest.approx(mean[1] - mean[3])
    assert (finding.evidence["from_epoch"], finding.evidence["to_epoch"]) == (2, 4)


def test_a_run_that_reached_its_plateau_passes_however_far_it_had_fallen() -> None:
    finding = found(sharpening([0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 1.0, 1.0]))
    assert (finding.estimate or 0) > 0.2
    assert finding.status == "pass"
    assert finding.summary.endswith("but hardly over the last quarter.")


@pytest.mark.parametrize("factors", [[0.1, 0.1, 0.2, 0.3], [0.5, 1.0, 2.0, 3.0]], ids=["falls", "rises"])
def test_the_interval_covers_the_fall_on_new_images(factors: list[float]) -> None:
    """On 150 images; where the last epoch is overconfident, a few large losses make the difference."""
    logits, labels = truth(200_000, 3, np.random.default_rng(999))
    fall = float((log_losses(factors[1] * logits, labels) - log_losses(factors[3] * logits, labels)).mean())
    runs, held, frame = 300, 0, sharpening(factors, 150)
    for seed in range(runs):
        own, drawn = truth(150, 3, np.random.default_rng(seed))
        losses = np.stack([log_losses(factor * own, drawn) for factor in factors])
        finding = found(replace(frame, val_epochs=replace(frame.val_epochs, loss=losses)))
        held += (finding.ci_low or 0) <= fall <= (finding.ci_high or 0)
    assert fewest(runs) <= held <= most(runs)


def test_equal_epochs_never_raise_a_flag() -> None:
    statuses = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        logits, labels = truth(1000, 3, random)
        statuses.append(found(measured(epochs(logits, 4, 0.3, random), labels, n=20, seed=seed)).status)
    assert "flag" not in statuses
    assert statuses.count("pass") >= 80


def test_a_run_of_two_slow_epochs_is_not_said_to_be_long_enough(tmp_path: Path) -> None:
    finding = found(trained(tmp_path, splits((500, 500, 100), 0), **EARLY | {"epochs": 2}))
    assert finding.status == "inconclusive"
    assert finding.summary.startswith(
        "It is inconclusive whether more epochs would help: on 500 validation images, from epoch 1 to the last epoch 2"
    )


def test_few_images_are_inconclusive() -> None:
    findings = [found(sharpening([0.3, 0.4, 0.6, 0.8], n=15, seed=seed)) for seed in range(20)]
    unsure = [finding for finding in findings if finding.status == "inconclusive"]
    assert len(unsure) >= 10
    assert all(f"with a power of 80 % from {finding.mde:.3f} nats on" in finding.summary for finding in unsure)
    assert all((finding.mde or 0) > 2 * LIMITS.harm_nats for finding in unsure)


def test_one_epoch_or_no_validation_is_not_run() -> None:
    assert found(sharpening([1.0])).status == "not_run"
    assert found(sharpening([0.5, 1.0], n=5)).status == "not_run"


def test_a_rate_that_fell_does_not_let_a_flat_end_pass(tmp_path: Path) -> None:
    def falling(epochs: int) -> dict[str, Any]:
        schedule = {"name": "multistep", "milestones": [epochs // 2 - 1], "gamma": 1e-4}
        return {"epochs": epochs, "schedule": schedule, "optimizer": {"name": "adam", "learning_rate": 0.001}}

    data = splits((500, 500, 2000), 0)
    short, longer = (trained(tmp_path / str(epochs), data, **falling(epochs)) for epochs in (8, 16))
    assert loss(short) - loss(longer) > 0.3
    finding = found(short)
    assert finding.status == "not_run"
    assert "The learning rate fell to 1e-07 by the end, from 0.001" in finding.summary


@pytest.mark.slow
def test_flags_predict_that_doubling_gains(tmp_path: Path) -> None:
    """Twice the epochs of the same run, and the gain on 2,000 test images. Measured in the wider sweep: see the check."""
    told: list[tuple[bool, float]] = []
    for seed in range(5):
        data = splits((500, 500, 2000), seed)
        for rate, count in ((0.0003, 8), (0.001, 8), (0.003, 4), (0.003, 8), (0.003, 16), (0.01, 8)):
            settings = {"optimizer": {"name": "adam", "learning_rate": rate}}
            short, longer = (
                trained(tmp_path / f"{seed}{rate}{n}", data, seed, epochs=n, **settings) for n in (count, 2 * count)
            )
            told.append((found(short).status == "flag", loss(short) - loss(longer)))
    gaining = [flagged for flagged, gain in told if gain >= LIMITS.harm_nats]
    idle = [flagged for flagged, gain in told if gain < LIMITS.harm_nats / 2]
    print(f"flagged {sum(gaining)} of {len(gaining)} that gain, {sum(idle)} of {len(idle)} that do not")
    assert len(gaining) >= 10
    assert len(idle) >= 10
    assert sum(gaining) >= 0.9 * len(gaining)
    assert not any(idle)
