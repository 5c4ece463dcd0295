"""Confidence against accuracy, in both directions, where the temperature that would be right is known."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from tasks.contracts.findings import Finding
from tasks.core.components import Component
from tasks.diagnostics.measured import Limits, Measured
from tasks.statistics.calibration import (
    calibration,
    calibration_error,
    calibration_error_interval,
    log_losses,
    log_probabilities,
)
from tests.tasks.diagnostics.trained import splits, trained
from tests.tasks.diagnostics.worlds import LIMITS, measured, truth
from tests.tasks.statistics.covering import between, fewest


def diagnosed(world: Measured, limits: Limits = LIMITS, check: str = "calibration") -> Finding:
    choice = Component("tasks.diagnostics.checks").choose({"name": check})
    finding = choice.module.check(world, limits, choice.settings)
    assert isinstance(finding, Finding)
    return finding


def heated(temperature: float, n: int = 2000, seed: int = 0) -> Measured:
    """Two equal epochs that state calibrated logits times `temperature`."""
    logits, labels = truth(n, 3, np.random.default_rng([seed, 3]))
    return measured(np.stack([temperature * logits] * 2).astype(np.float32), labels, n=100, seed=seed)


@pytest.mark.parametrize(
    ("temperature", "direction"), [(3.0, "overconfident"), (0.2, "underconfident")], ids=["too sharp", "too flat"]
)
def test_probabilities_that_do_not_match_the_accuracy_are_flagged_and_the_temperature_is_found(
    temperature: float, direction: str
) -> None:
    finding = diagnosed(heated(temperature))
    assert finding.status == "flag"
    assert finding.summary.startswith(f"The probabilities are {direction}: on 2000 validation images, mean confidence")
    assert finding.evidence["temperature"] == pytest.approx(temperature, rel=0.1)
    assert finding.remedy is not None
    fresh, labels = truth(20_000, 3, np.random.default_rng(99))
    true = float((log_losses(temperature * fresh, labels) - log_losses(fresh, labels)).mean())
    assert finding.remedy.ci is not None
    assert finding.remedy.ci[0] < true < finding.remedy.ci[1]


@pytest.mark.parametrize(("factor", "size"), [(1e4, "large"), (1e-4, "small")])
def test_logits_that_no_temperature_in_reach_corrects_are_flagged_with_the_reason_and_without_a_number(
    factor: float, size: str
) -> None:
    finding = diagnosed(heated(factor))
    assert (finding.status, finding.estimate) == ("flag", None)
    assert f"no temperature was found: the logits are far too {size}" in finding.summary
    assert "T = " not in finding.summary
    assert "temperature" not in finding.evidence
    assert finding.remedy is not None
    assert finding.remedy.action.startswith("Do not use temperature scaling. ")
    assert (finding.remedy.expected_gain, finding.remedy.ci) == (None, None)


def test_squared_error_that_was_stopped_early_is_underconfident_and_equal_epochs_do_not_hide_it(tmp_path: Path) -> None:
    made = trained(tmp_path, splits((2000, 500, 200), 0), loss={"name": "mse"}, early_stopping={"enabled": True})
    finding = diagnosed(made)
    assert finding.status == "flag"
    assert "underconfident" in finding.summary
    assert float(finding.evidence["temperature"]) < 0.3  # type: ignore[arg-type]
    assert diagnosed(made, check="overconfident").status != "flag"


def test_a_single_epoch_is_enough(tmp_path: Path) -> None:
    made = trained(tmp_path, splits((300, 200, 50), 0), epochs=1)
    assert isinstance(made.comparison, str)
    assert diagnosed(made).status != "not_run"


def test_calibrated_probabilities_raise_no_false_alarm() -> None:
    statuses = Counter(diagnosed(heated(1.0, 500, seed)).status for seed in range(30))
    assert statuses == {"pass": 30}


def test_few_images_are_inconclusive_and_fewer_are_not_judged() -> None:
    few = diagnosed(heated(1.4, 60))
    assert few.status == "inconclusive"
    assert (few.mde or 0) > LIMITS.harm_nats
    assert "smallest detectable: 0." in few.summary
    assert diagnosed(heated(1.0, 7)).status == "not_run"
    broken = heated(1.0)
    assert diagnosed(replace(broken, val_logits=np.full_like(broken.val_logits, np.nan))).status == "not_run"


def test_a_pass_without_power_says_that_it_came_by_exclusion() -> None:
    finding = diagnosed(heated(0.8, 2000), replace(LIMITS, harm_nats=1e-9))
    assert finding.status == "flag"  # proven, however small
    passed = diagnosed(heated(1.0, 2000))
    assert passed.status == "pass"
    assert passed.by_exclusion == ((passed.mde or 0) > LIMITS.harm_nats)


def test_upper_limit_of_the_calibration_error_is_that_of_drawn_rows_and_of_mistakes_that_they_may_lack() -> None:
    """Against a bootstrap that draws rows and computes the published formula anew each time."""
    random = np.random.default_rng(0)
    confidences, correct = random.uniform(0.1, 1, 300), random.random(300) < 0.6
    found = calibration_error_interval(confidences, correct, 15, confidence=0.9, resamples=400, random=np.random.default_rng(5))
    draws, again = np.random.default_rng(5), []
    for _ in range(400):
        rows = draws.integers(300, size=300)
        again.append(calibration_error(calibration(confidences[rows], correct[rows], 15)))
    assert found[1] == pytest.approx(np.quantile(again + draws.standard_exponential(400) / 300, 0.95))


def test_upper_limit_without_a_mistake_is_that_of_clopper_and_pearson() -> None:
    """A resample of answers that are all right has no mistake either, whereas the model will make some."""
    random = np.random.default_rng(0)
    low, high = calibration_error_interval(
        np.ones(150), np.ones(150, dtype=bool), 15, confidence=0.95, resamples=10_000, random=random
    )
    assert low == 0
    assert high == pytest.approx(binomtest(0, 150).proportion_ci(0.95, "exact").high, rel=0.1)


def _holds(drawn: Callable[[np.random.Generator], tuple[Any, Any]], expected: float) -> None:
    """Intervals from confidences and correctness that are `drawn` hold the `expected` error with their confidence or more."""
    runs, held = 200, 0
    for seed in range(runs):
        random = np.random.default_rng([seed, 6])
        low, high = calibration_error_interval(*drawn(random), 15, confidence=0.95, resamples=200, random=random)
        held += low <= expected <= high
    assert held >= fewest(runs)


@pytest.mark.parametrize("heat", [1.0, 1.2, 2.0], ids=["calibrated", "nearly", "too sure"])
def test_the_interval_covers_the_calibration_error_of_the_same_bins_on_new_images(heat: float) -> None:
    """With the confidence or more. A percentile interval never holds the 0 of a calibrated model, and basic ones in about half."""

    def drawn(n: int, random: np.random.Generator) -> tuple[Any, Any]:
        logits, labels = truth(n, 3, random)
        return np.exp(log_probabilities(heat * logits).max(axis=1)), logits.argmax(axis=1) == labels

    expected = 0.0
    if heat != 1:  # where it is 1, the labels are drawn from these very probabilities
        expected = calibration_error(calibration(*drawn(1_000_000, np.random.default_rng(999)), 15))
    _holds(lambda random: drawn(300, random), expected)


@pytest.mark.parametrize(("n", "accuracy"), [(200, 0.95), (150, 0.99), (1000, 0.998)])
@pytest.mark.parametrize("ratio", [1.0, 0.1, 5.0], ids=["calibrated", "overconfident", "underconfident"])
def test_the_interval_covers_the_calibration_error_of_accurate_models(n: int, accuracy: float, ratio: float) -> None:
    """All state the same confidence, `ratio` times as far from 1 as their accuracy. Few of their answers are wrong, or none, so that
    resamples hardly differ: from these alone, the intervals of a calibrated model with an accuracy of 99 % hold in 78 % of samples.
    """
    stated = 1 - ratio * (1 - accuracy)
    _holds(lambda random: (np.full(n, stated), random.random(n) < accuracy), abs(accuracy - stated))


@pytest.mark.parametrize(("n", "accuracy"), [(200, 0.95), (150, 0.99), (1000, 0.998)])
def test_the_interval_covers_the_calibration_error_of_an_accurate_model_that_is_sure_of_most(n: int, accuracy: float) -> None:
    def drawn(random: np.random.Generator) -> tuple[Any, Any]:
        wrong = np.minimum(0.9, random.gamma(0.5, 2 * (1 - accuracy), n))
        return 1 - wrong, random.random(n) >= wrong

    _holds(drawn, 0.0)


def test_the_interval_of_a_large_calibration_error_excludes_zero() -> None:
    found = diagnosed(heated(3.0)).evidence
    low, high = between(found, "expected_calibration_error_ci")
    assert 0 < low < float(str(found["expected_calibration_error"])) < high


@pytest.mark.slow
def test_sensitivity_and_false_alarms() -> None:
    harmed = Counter(diagnosed(heated(2.0, 500, seed)).status for seed in range(100))
    clean = Counter(diagnosed(heated(1.0, 500, seed)).status for seed in range(100, 300))
    assert harmed["flag"] >= 95
    assert clean["flag"] <= 4
