"""Models that are weak on one class, and models that are equally good on all."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import fisher_exact

from tasks.contracts.splits import Arrays
from tasks.diagnostics.measured import Measured
from tests.tasks.diagnostics.pictured import found, pictured
from tests.tasks.diagnostics.trained import CLASSES, splits

FRAME = pictured(splits((100, 20, 20), 0))


def answered(n: int, seed: int, weak: float | None = None, accuracy: float = 0.9) -> Measured:
    """A model of this accuracy on each of ten classes, but on class 3 of the accuracy `weak`; its errors are spread evenly."""
    random = np.random.default_rng([seed, n])
    labels = random.integers(0, CLASSES, n)
    chance = np.where((labels == 3) & (weak is not None), weak or 0.0, accuracy)
    other = (labels + random.integers(1, CLASSES, n)) % CLASSES
    logits = np.eye(CLASSES, dtype=np.float32)[np.where(random.random(n) < chance, labels, other)]
    test = Arrays(np.zeros((n, 1, 8, 8), dtype=np.uint8), labels, np.arange(n))
    return replace(FRAME, test=test, test_logits=logits)


def test_a_weak_class_is_flagged_with_its_difference() -> None:
    world = answered(2000, 0, weak=0.6)
    finding = found("slices", world)
    assert (finding.status, finding.evidence["weak_slices"]) == ("flag", ["images of class 3"])
    own = world.test.labels == 3
    right = world.test_logits.argmax(-1) == world.test.labels
    assert finding.estimate == pytest.approx(right[~own].mean() - right[own].mean())
    table = np.array([[part.sum(), (~part).sum()] for part in (right[own], right[~own])])
    assert finding.p_value == pytest.approx(fisher_exact(table, alternative="less").pvalue)
    assert finding.summary.startswith(f"On images of class 3 ({own.sum()} test images) accuracy is ")


def test_a_class_that_is_predicted_too_often_is_a_weak_slice_of_the_predictions() -> None:
    world = answered(4000, 1, accuracy=1.0)
    logits = world.test_logits.copy()
    wrong = np.random.default_rng(0).random(4000) < 0.05
    logits[wrong] = np.eye(CLASSES, dtype=np.float32)[7]
    finding = found("slices", replace(world, test_logits=logits))
    assert finding.evidence["weak_slices"] == ["images predicted as class 7"]


def test_a_difference_smaller_than_what_matters_passes_though_it_is_significant() -> None:
    finding = found("slices", answered(40_000, 0, weak=0.85))
    assert (finding.status, finding.p_holm is not None and finding.p_holm < 0.02) == ("pass", True)


def test_equally_good_classes_pass_and_small_ones_are_inconclusive() -> None:
    assert found("slices", answered(4000, 2)).status == "pass"
    small = found("slices", answered(100, 2))
    assert small.status == "inconclusive"
    assert "have too few test images to show a difference of 10.0 percentage points" in small.summary


def test_a_single_class_in_labels_and_predictions_is_not_run() -> None:
    world = answered(50, 0, accuracy=1.0)
    same = replace(world.test, labels=np.full(50, 2))
    logits = np.eye(CLASSES, dtype=np.float32)[same.labels]
    assert found("slices", replace(world, test=same, test_logits=logits)).status == "not_run"


def test_sensitivity_and_false_alarms() -> None:
    """Measured: equally good classes 0 flagged of 100; a class 20 points weaker 20 of 20; 200 images 20 of 20 inconclusive."""
    equal = Counter(found("slices", answered(n, seed)).status for seed in range(50) for n in (500, 2000))
    weak = Counter(found("slices", answered(2000, seed, weak=0.7)).status for seed in range(20))
    few = Counter(found("slices", answered(200, seed)).status for seed in range(20))
    print(f"equal {dict(equal)}, weak {dict(weak)}, 200 images {dict(few)}")
    assert equal["flag"] <= 2
    assert weak["flag"] >= 19
    assert few["inconclusive"] >= 19
