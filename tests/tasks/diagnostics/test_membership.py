"""The loss-threshold attack against closed forms, and on models that memorised or did not."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tasks.contracts.findings import Finding
from tasks.core.components import Component
from tasks.diagnostics.measured import Measured
from tasks.statistics.calibration import log_losses
from tasks.statistics.membership import caught, lower_probability
from tests.tasks.diagnostics.trained import splits, trained
from tests.tasks.diagnostics.worlds import LIMITS, Logits, epochs, measured, truth
from tests.tasks.statistics.covering import between, fewest, most


def diagnosed(world: Measured, check: str = "membership") -> Finding:
    choice = Component("tasks.diagnostics.checks").choose({"name": check})
    finding = choice.module.check(world, LIMITS, choice.settings)
    assert isinstance(finding, Finding)
    return finding


def numbers(n: int, seed: int = 0) -> Measured:
    """Train and test are answered alike."""
    random = np.random.default_rng(seed)
    logits, labels = truth(50, 3, random)
    return measured(epochs(logits, 2, 0.1, random), labels, n=n, seed=seed)


def test_the_area_is_that_of_the_roc_curve_with_ties() -> None:
    random = np.random.default_rng(0)
    members, others = random.integers(0, 9, 60) / 1.0, random.integers(2, 12, 40) / 1.0
    expected = roc_auc_score(np.r_[np.zeros(60), np.ones(40)], np.r_[members, others])
    assert lower_probability(members, others, 0.95).estimate == pytest.approx(expected)


def test_delong_interval_covers_the_true_area() -> None:
    """Normal losses whose means differ by 1: the area is Φ(1 / √2)."""
    from scipy.stats import norm

    true, runs, covered = norm.cdf(1 / np.sqrt(2)), 400, 0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        found = lower_probability(random.normal(size=80), 1 + random.normal(size=60), 0.95)
        covered += found.low <= true <= found.high
    assert 0.925 <= covered / runs <= 0.975


def test_newcombes_interval_covers_the_advantage_of_the_threshold_that_is_reported() -> None:
    """Losses of two classes, of which the members' are lower; the threshold differs from run to run."""
    runs, held = 300, 0
    frame = measured(np.zeros((1, 0, 2), dtype=np.float32), np.zeros(0, dtype=np.int64), n=100)
    labels = np.zeros(100, dtype=np.int64)

    def logits(n: int, margin: float, random: np.random.Generator) -> Logits:
        return np.stack([random.normal(margin, 2, n), np.zeros(n)], axis=1).astype(np.float32)

    many = [log_losses(logits(100_000, margin, np.random.default_rng(999)), np.zeros(100_000, int)) for margin in (3, 1)]
    for seed in range(runs):
        random = np.random.default_rng([seed, 7])
        world = replace(
            frame,
            train=replace(frame.train, labels=labels),
            test=replace(frame.test, labels=labels),
            train_logits=logits(100, 3, random),
            test_logits=logits(100, 1, random),
        )
        evidence = diagnosed(world).evidence
        threshold = float(str(evidence["threshold_at_mean_train_loss"]))
        of_members, of_others = (float((losses <= threshold).mean()) for losses in many)
        low, high = between(evidence, "advantage_ci")
        held += low <= of_members - of_others <= high
    assert fewest(runs) <= held <= most(runs)


def test_advantage_of_the_0_1_loss_is_the_accuracy_gap(tmp_path: Path) -> None:
    made = trained(tmp_path, splits((400, 100, 500), 0), epochs=20)
    gap = diagnosed(made, "gap").evidence["accuracy_gap"]
    assert diagnosed(made).evidence["advantage_of_the_0_1_loss"] == pytest.approx(-float(gap))  # type: ignore[arg-type]
    assert caught(np.array([0.0, 0, 1]), np.array([0.0, 1, 1, 1]), 0) == (2, 1)


def test_a_model_that_memorised_leaks_and_one_that_was_stopped_early_does_not(tmp_path: Path) -> None:
    data = splits((1000, 300, 2000), 0)
    memorised = diagnosed(trained(tmp_path / "long", data, epochs=40))
    assert memorised.status == "flag"
    assert memorised.ci_low is not None
    assert memorised.ci_low > 0.6
    assert "Fix: weight decay" in memorised.summary
    stopped = diagnosed(trained(tmp_path / "early", splits((2000, 300, 2000), 0), epochs=2))
    assert stopped.status == "pass"
    assert stopped.remedy is None


def test_equal_answers_raise_no_false_alarm_and_few_images_are_inconclusive() -> None:
    assert Counter(diagnosed(numbers(1000, seed)).status for seed in range(100)) == {"pass": 100}
    few = diagnosed(numbers(20))
    assert few.status == "inconclusive"
    assert "20 training and 20 test images do not show whether" in few.summary
    assert few.mde is not None
    assert few.mde > 0.1  # above guessing; an area of 0.6 is hardly ever flagged
    assert f"{100 * (0.5 + few.mde):.1f} % is the smallest that would be flagged with a power of 80 %" in few.summary
    assert diagnosed(numbers(1000)).by_exclusion


def test_is_not_run_without_images_or_with_losses_that_are_not_finite() -> None:
    made = numbers(50)
    assert diagnosed(replace(made, train_index=made.train_index[:1], train_logits=made.train_logits[:1])).status == "not_run"
    assert diagnosed(replace(made, test_logits=np.full_like(made.test_logits, np.nan))).status == "not_run"
