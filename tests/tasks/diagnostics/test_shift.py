"""Test images that are not drawn as the training images were, and test images that are."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, mannwhitneyu
from sklearn.ensemble import RandomForestClassifier

from tasks.diagnostics.checks.shift import area, area_interval, distance_limit, label_test
from tests.tasks.diagnostics.pictured import Splits, found, pictured
from tests.tasks.diagnostics.trained import pictures, splits
from tests.tasks.statistics.covering import fewest, most

Images = NDArray[np.uint8]


def changed(data: Splits, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Splits:
    """The test images after a change of their grey levels."""
    images = np.clip(change(data["test"].images.astype(np.float64)), 0, 255).astype(np.uint8)
    return data | {"test": replace(data["test"], images=images)}


def noisier(images: NDArray[np.float64]) -> NDArray[np.float64]:
    return images + 50 * np.random.default_rng(3).normal(size=images.shape)


@pytest.mark.parametrize(
    "change",
    [lambda x: x + 5, lambda x: 128 + 0.8 * (x - 128), noisier, lambda x: x[..., ::-1]],
    ids=["brighter by 5 of 255", "contrast", "noise", "mirrored"],
)
def test_changed_test_images_are_told_from_training_images(
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> None:
    finding = found("shift", pictured(changed(splits((600, 100, 600), 1), change)))
    assert finding.status == "flag"
    assert (finding.estimate or 0) > 0.6
    assert finding.summary.startswith("A random forest on pixels tells test from training images: AUC ")
    assert "Fix: Look at the most test-like images" in finding.summary
    assert "label frequencies" not in finding.summary


def test_the_images_that_were_changed_are_named_as_the_most_test_like() -> None:
    data = splits((800, 100, 800), 2)
    images = data["test"].images.copy()
    images[::2] = np.clip(images[::2].astype(np.int64) + 60, 0, 255)
    finding = found("shift", pictured(data | {"test": replace(data["test"], images=images)}))
    named = finding.evidence["most_test_like_test_rows"]
    assert isinstance(named, list)
    assert {int(row) - int(data["test"].rows[0]) for row in named} <= set(range(0, 800, 2))


def test_a_doubled_share_of_a_class_is_seen_by_its_labels_alone() -> None:
    data = splits((1000, 100, 2000), 3)
    test = data["test"]
    double = np.concatenate([np.flatnonzero(test.labels == 4), np.arange(900)])
    data = data | {"test": replace(test, images=test.images[double], labels=test.labels[double], rows=test.rows[double])}
    finding = found("shift", pictured(data))
    assert finding.status == "flag"
    assert "most in class 4" in finding.summary


def test_a_shift_smaller_than_what_matters_is_no_flag() -> None:
    data = changed(splits((600, 100, 600), 1), noisier)
    finding = found("shift", pictured(data), auc=0.9, labels=0.2)
    assert finding.status == "pass"
    assert "smallest AUC that matters: 0.9" in finding.summary


def test_labels_whose_difference_is_not_shown_to_be_small_do_not_pass() -> None:
    data = splits((600, 100, 600), 1)
    finding = found("shift", pictured(data), auc=0.9)
    assert finding.status == "inconclusive"
    assert "on 600 images: one of 0.9, which matters, is excluded." in finding.summary
    assert ": one of 5.0 %, which matters, is not excluded." in finding.summary


def test_the_limit_of_the_label_difference_holds_for_equal_and_for_different_frequencies() -> None:
    random = np.random.default_rng(0)
    for first, second in ((np.full(10, 0.1), np.full(10, 0.1)), (np.array([0.5, 0.5]), np.array([0.45, 0.55]))):
        truth, missed = np.abs(first - second).sum() / 2, 0
        for _ in range(2000):
            shares = random.multinomial(500, first) / 500, random.multinomial(300, second) / 300
            distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
            missed += distance_limit(distance, 500, 300, 0.975) < truth
        assert missed <= 0.025 * 2000
    assert distance_limit(0.01, 60_000, 10_000, 0.975) == pytest.approx(
        0.01 + np.sqrt(np.log(40) * (1 / 60_000 + 1 / 10_000) / 2)
    )


def test_splits_drawn_alike_are_not_flagged_and_few_rows_are_inconclusive_or_not_run() -> None:
    for seed in range(4):
        assert found("shift", pictured(splits((400, 100, 400), seed), seed)).status != "flag"
    small = found("shift", pictured(splits((400, 100, 40), 0)))
    assert small.status == "inconclusive"
    assert "Use larger training and test sets" in small.summary
    assert found("shift", pictured(splits((400, 100, 19), 0))).status == "not_run"


def test_the_same_seed_gives_the_same_finding() -> None:
    world = pictured(splits((200, 100, 200), 0))
    assert found("shift", world) == found("shift", world)


def test_the_area_is_mann_and_whitneys_with_ties() -> None:
    random = np.random.default_rng(0)
    lower, upper = random.integers(0, 9, 40) / 9, random.integers(2, 12, 30) / 9
    assert area(lower, upper) == pytest.approx(mannwhitneyu(upper, lower).statistic / 1200)


def test_the_interval_of_the_area_is_the_published_one() -> None:
    # Hanley & McNeil 1982, page 32: an area of 0.893 from 58 normal and 51 abnormal cases has a standard error of 0.032.
    low, high = area_interval(0.893, 58, 51, 0.95)
    assert (high - low) / (2 * 1.96) == pytest.approx(0.032, abs=0.0007)


@pytest.mark.parametrize("brighter", [0, 0.4, 20])
def test_the_interval_of_the_area_covers_that_of_a_forest(brighter: float) -> None:
    """The areas of the forest on new rows are about 0.5, 0.74 and 0.85; on 100 rows each, drawn anew, the interval holds them."""
    data, random = splits((300, 0, 300), 0), np.random.default_rng(0)

    def flat(images: Images, more: float) -> NDArray[np.float64]:
        return (images.reshape(len(images), -1) + more).clip(0, 255)

    forest = RandomForestClassifier(20, class_weight="balanced", random_state=0)
    forest.fit(np.concatenate([flat(data["train"].images, 0), flat(data["test"].images, brighter)]), np.repeat([0, 1], 300))
    train, test = (
        forest.predict_proba(flat(pictures(5000, seed)[0], more))[:, 1] for seed, more in ((998, 0), (999, brighter))
    )
    truth, runs, held = area(train, test), 500, 0
    for _ in range(runs):
        low, high = area_interval(area(*(random.choice(scores, 100) for scores in (train, test))), 100, 100, 0.95)
        held += low <= truth <= high
    assert fewest(runs) <= held <= most(runs)


def test_the_label_test_is_the_chi_squared_test_and_counts_small_classes_together() -> None:
    train, test = np.array([500, 300, 200]), np.array([80, 40, 30])
    assert label_test(train, test) == pytest.approx(chi2_contingency([train, test], correction=False).pvalue)
    many_small = np.array([500, 3, 2, 1, 0]), np.array([500, 0, 1, 2, 3])
    assert label_test(*many_small) == pytest.approx(chi2_contingency([[500, 6], [500, 6]], correction=False).pvalue)
    assert label_test(np.array([10, 0]), np.array([5, 0])) == 1


@pytest.mark.slow
def test_false_alarms_where_train_and_test_are_drawn_alike() -> None:
    statuses = [found("shift", pictured(splits((300, 0, 300), seed), seed)).status for seed in range(100)]
    print(f"{statuses.count('flag')} of 100 flagged")
    assert statuses.count("flag") <= 2
