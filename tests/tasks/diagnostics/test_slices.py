"""Models that are weak on one class, and models that are equally good on all."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from tasks.contracts.splits import Arrays
from tasks.diagnostics.checks import slices
from tasks.diagnostics.measured import Measured
from tests.tasks.diagnostics.pictured import found, pictured
from tests.tasks.diagnostics.trained import CLASSES, splits
from tests.tasks.diagnostics.worlds import LIMITS
from tests.tasks.statistics.covering import fewest

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
    assert "have too few test images to show whether they are 10.0 percentage points below" in small.summary


def gaps(accuracies: NDArray[np.float64]) -> dict[str, float]:
    """What `answered` has on all images that it could draw, by slice: accuracy on the rest minus that on the slice."""
    right, wrong = accuracies / CLASSES, (1 - accuracies) / CLASSES
    predicted = right + (wrong.sum() - wrong) / (CLASSES - 1)

    def behind(right_of: float, share: float) -> float:
        return float((right.sum() - right_of) / (1 - share) - right_of / share)

    classes = {f"images of class {k}": behind(right[k], 1 / CLASSES) for k in range(CLASSES)}
    return classes | {f"images predicted as class {k}": behind(right[k], predicted[k]) for k in range(CLASSES)}


@pytest.mark.parametrize("n", [150, 300, 2000])
def test_the_intervals_of_all_slices_cover_at_once(n: int) -> None:
    """So does that of the slice which is reported, however it was chosen; intervals for one slice each would in about 40 %."""
    runs, held = 300, 0
    truth = gaps(np.where(np.arange(CLASSES) == 3, 0.75, 0.9))
    for seed in range(runs):
        found = slices.compare(answered(n, seed, weak=0.75), LIMITS, slices.Settings())
        held += all(part.low <= truth[part.name] <= part.high for part in found)
    assert held >= fewest(runs)


def test_the_interval_of_the_slice_that_is_flagged_covers_its_difference() -> None:
    truth, runs, held = gaps(np.where(np.arange(CLASSES) == 3, 0.6, 0.9)), 200, 0
    for seed in range(runs):
        finding = found("slices", answered(1000, seed, weak=0.6))
        weak = finding.evidence["weak_slices"]
        assert isinstance(weak, list)
        held += (finding.ci_low or 0) <= truth[str(weak[0])] <= (finding.ci_high or 0)
    assert held >= fewest(runs)


def test_power_alone_does_not_pass_where_the_interval_contains_what_matters() -> None:
    finding = found("slices", answered(2000, 1, weak=0.83))
    assert finding.status == "inconclusive"
    assert (finding.mde or 1) < 0.1 < (finding.ci_high or 0)


def described(world: Measured, seed: int, weak: float | None = None) -> Measured:
    """The same with two columns of metadata; of the images of camera B, those from `weak` on are answered wrongly instead."""
    random = np.random.default_rng([seed, 1])
    n = len(world.test.labels)
    cameras, sites = random.choice(["A", "B", "C"], n, p=[0.4, 0.2, 0.4]), random.choice(["", "north"], n)
    spoilt = (cameras == "B") & (random.random(n) >= (1 if weak is None else weak))
    logits = world.test_logits.copy()
    logits[spoilt] = np.eye(CLASSES, dtype=np.float32)[
        (world.test.labels[spoilt] + random.integers(1, CLASSES, n)[spoilt]) % CLASSES
    ]
    return replace(world, test_logits=logits, metadata={"camera": cameras, "site": sites})


def test_a_weak_value_of_the_metadata_is_flagged_and_in_one_family_with_the_classes() -> None:
    world = described(answered(3000, 0), 0, weak=0.8)
    finding = found("slices", world)
    own, right = world.metadata["camera"] == "B", world.test_logits.argmax(-1) == world.test.labels
    assert (finding.status, finding.evidence["weak_slices"]) == ("flag", ["images with camera = B"])
    assert finding.estimate == pytest.approx(right[~own].mean() - right[own].mean())
    assert finding.evidence["slices_compared"] == 2 * CLASSES + 5
    assert finding.p_value is not None
    assert finding.p_holm == pytest.approx((2 * CLASSES + 5) * finding.p_value)
    assert finding.summary.startswith(f"On images with camera = B ({own.sum()} test images) accuracy is ")
    assert finding.remedy is not None
    assert finding.remedy.action.startswith("Look at what sets images with camera = B apart from the rest")


def test_equally_good_values_pass_and_a_value_that_is_not_stated_is_a_slice_too() -> None:
    finding = found("slices", described(answered(6000, 2), 2))
    assert finding.status == "pass"
    assert finding.summary.startswith("No class, no predicted class and no value of the metadata is shown to be 10.0")
    names = finding.evidence["name_of_each_slice"]
    assert isinstance(names, list)
    assert names[-2:] == ["images with site = (empty)", "images with site = north"]
    assert "metadata" not in found("slices", answered(6000, 2)).model_dump_json()


def test_a_value_that_all_test_images_share_is_no_slice() -> None:
    world = answered(500, 0)
    same = replace(world, metadata={"camera": np.full(500, "A")})
    assert found("slices", same).evidence == found("slices", world).evidence


def test_a_single_class_in_labels_and_predictions_is_not_run() -> None:
    world = answered(50, 0, accuracy=1.0)
    same = replace(world.test, labels=np.full(50, 2))
    logits = np.eye(CLASSES, dtype=np.float32)[same.labels]
    assert found("slices", replace(world, test=same, test_logits=logits)).status == "not_run"


def test_sensitivity_and_false_alarms() -> None:
    """Measured: equally good classes 0 flagged of 100; a class 20 points weaker 20 of 20; 200 images 20 of 20 inconclusive.

    With metadata: equally good values 0 flagged of 50; a camera 18 points weaker 20 of 20.
    """
    equal = Counter(found("slices", answered(n, seed)).status for seed in range(50) for n in (500, 2000))
    weak = Counter(found("slices", answered(2000, seed, weak=0.7)).status for seed in range(20))
    few = Counter(found("slices", answered(200, seed)).status for seed in range(20))
    cameras = Counter(found("slices", described(answered(2000, seed), seed)).status for seed in range(50))
    weak_camera = Counter(found("slices", described(answered(2000, seed), seed, weak=0.8)).status for seed in range(20))
    print(f"with metadata: equal {dict(cameras)}, weak {dict(weak_camera)}")
    print(f"equal {dict(equal)}, weak {dict(weak)}, 200 images {dict(few)}")
    assert equal["flag"] <= 2
    assert weak["flag"] >= 19
    assert few["inconclusive"] >= 19
    assert cameras["flag"] <= 1
    assert weak_camera["flag"] >= 19
