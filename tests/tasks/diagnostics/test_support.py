"""Test sets that cannot answer how well each class is recognised."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.contracts.splits import Arrays
from tasks.diagnostics.checks.support import needed
from tasks.diagnostics.measured import Measured
from tasks.statistics.intervals import wilson
from tests.tasks.diagnostics.pictured import found, pictured
from tests.tasks.diagnostics.trained import splits

FRAME = pictured(splits((100, 20, 20), 0))


def counted(counts: list[int], correct: list[int]) -> Measured:
    """Test has this many images of each class, of which so many are right; the others are taken for the next class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    right = np.concatenate([np.arange(n) < k for n, k in zip(counts, correct, strict=True)])
    predicted = np.where(right, labels, (labels + 1) % len(counts))
    logits = np.eye(len(counts), dtype=np.float32)[predicted]
    images = np.zeros((len(labels), 1, 8, 8), dtype=np.uint8)
    train = replace(FRAME.train, labels=FRAME.train.labels % len(counts))
    return replace(FRAME, train=train, test=Arrays(images, labels, np.arange(len(labels))), test_logits=logits)


def test_a_class_with_six_test_images_has_an_unknown_recall() -> None:
    finding = found("support", counted([300, 300, 6], [270, 280, 5]))
    assert finding.status == "flag"
    assert finding.summary.startswith("The recall of class 2 is unknown: 6 test images (95 % CI ")
    assert finding.evidence["classes_with_unknown_recall"] == [2]
    assert finding.note
    assert f"{finding.note} Fix: add test images of the rare classes." == finding.summary


def test_classes_without_test_images_are_unknown_and_the_rarest_are_named_first() -> None:
    finding = found("support", counted([300, 1, 5, 4, 0], [270, 1, 5, 4, 0]))
    assert (
        "class 4 is unknown: 0 test images (95 % CI 0.0 to 100.0 %); the recall of class 1 is unknown: 1 test image ("
        in finding.summary
    )
    assert "; and that of 1 more class." in finding.summary
    assert finding.estimate == pytest.approx((0.9 + 3) / 4)


def test_enough_images_of_each_class_pass_with_the_balanced_accuracy() -> None:
    finding = found("support", counted([100, 50, 400], [90, 45, 390]))
    assert finding.status == "pass"
    assert finding.estimate == pytest.approx((0.9 + 0.9 + 0.975) / 3)
    assert finding.summary.startswith("Each class has 50 test images or more")
    assert finding.note == ""


@pytest.mark.parametrize(("right_of_rare", "status"), [(0, "flag"), (1, "flag"), (90, "pass")])
def test_imbalance_of_99_to_1_is_judged_by_the_balanced_accuracy(right_of_rare: int, status: str) -> None:
    finding = found("support", counted([9900, 100], [9895, right_of_rare]))
    assert finding.status == status
    hidden = "says little, as 99.0 % of the test images are of class 0: balanced accuracy is 5"
    assert (hidden in finding.summary) == (status == "flag")


def test_the_interval_of_the_balanced_accuracy_covers_it() -> None:
    random, recalls, counts = np.random.default_rng(0), np.array([0.95, 0.8, 0.6]), [200, 40, 25]
    covered = 0
    for _ in range(400):
        finding = found("support", counted(counts, random.binomial(counts, recalls).tolist()))
        covered += (finding.ci_low or 0) <= recalls.mean() <= (finding.ci_high or 0)
    assert covered / 400 == pytest.approx(0.95, abs=0.025)


def test_as_many_images_as_advised_are_enough_whatever_the_recall() -> None:
    n = needed(0.3, 0.95)
    assert all(high - low <= 0.3 for low, high in (wilson(k, n, 0.95) for k in range(n + 1)))
    low, high = wilson((n - 2) // 2, n - 2, 0.95)
    assert high - low > 0.3
