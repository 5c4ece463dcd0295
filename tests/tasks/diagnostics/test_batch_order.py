"""Batches of few classes are flagged; batches in random order, and an order that was not recorded, are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.splits import Arrays
from tasks.learning.class_order import classes_per_batch
from tests.tasks.diagnostics.pictured import found, pictured
from tests.tasks.diagnostics.trained import splits, trained

FRAME = pictured(splits((100, 20, 20), 0))


def test_sorted_rows_that_are_not_shuffled_are_flagged_with_the_remedy(tmp_path: Path) -> None:
    data = splits((300, 100, 100), 0)
    order = data["train"].labels.argsort(kind="stable")
    train = data["train"]
    data["train"] = Arrays(train.images[order], train.labels[order], train.rows[order])
    finding, mixed = (
        found("batch_order", trained(tmp_path / str(shuffle), data, shuffle=shuffle, epochs=2)) for shuffle in (False, True)
    )
    assert (finding.status, mixed.status) == ("flag", "pass")


@pytest.mark.parametrize(
    ("counted", "status"),
    [
        ((1.1, 10.0), "flag"),
        ((9.8, 10.0), "pass"),
        ((5.6, 10.0), "pass"),
        ((5.5, 10.0), "pass"),
        (None, "not_run"),
        ((1.0, 1.0), "not_run"),
    ],
)
def test_the_share_decides(counted: tuple[float, float] | None, status: str) -> None:
    finding = found("batch_order", replace(FRAME, batch_classes=counted))
    assert finding.status == status


def test_what_the_flag_says() -> None:
    finding = found("batch_order", replace(FRAME, batch_classes=(1.1, 10.0)))
    assert finding.summary == (
        "The rows were trained on in class order: a batch held 1.1 classes on average, and 10.0 in random order, so that each step "
        "learned a few classes and unlearned the others. Counted over the batches of the first ten epochs. "
        "Fix: set train.shuffle to true."
    )
    assert finding.remedy is not None
    assert finding.remedy.expected_gain is None
    assert finding.estimate == pytest.approx(0.1 / 9)
    assert (finding.reference, finding.reference_name) == (0.5, "share below which it is flagged")


def test_batches_of_one_row_are_counted_in_pairs() -> None:
    assert (
        classes_per_batch(np.array([0, 0, 1, 1, 0, 1]), 1) == classes_per_batch(np.array([0, 0, 1, 1, 0, 1]), 2) == (4 / 3, 1.5)
    )


def test_shuffled_rows_of_small_sets_with_a_rare_class_are_never_flagged() -> None:
    """As training counts them: over ten epochs."""
    random = np.random.default_rng(0)
    for _ in range(500):
        labels = (np.arange(100) < 2).astype(int)
        counted = classes_per_batch(np.concatenate([random.permutation(labels) for _ in range(10)]), 32)
        assert found("batch_order", replace(FRAME, batch_classes=counted)).status == "pass"
