"""Fewer training rows, or wrong labels, on purpose."""

import numpy as np
import pytest

from tasks.sources.dividing import Part
from tasks.sources.source import Rows
from tasks.sources.studies import fewer_rows, wrong_labels

LABELS = np.repeat([0, 1, 2, 2], 50)
TRAIN = Part(Rows(images=[], labels=LABELS), np.arange(200))


def test_a_fraction_keeps_the_shares_of_the_classes_and_the_order_of_the_rows() -> None:
    part = fewer_rows(TRAIN, 0.1, seed=0)
    assert np.bincount(part.labels).tolist() == [5, 5, 10]
    assert (np.diff(part.index) > 0).all()
    assert np.bincount(fewer_rows(TRAIN, 0.001, seed=0).labels).tolist() == [1, 1, 1]


def test_a_smaller_study_is_part_of_a_larger_one_and_another_seed_is_another_study() -> None:
    small, large = fewer_rows(TRAIN, 0.2, seed=3), fewer_rows(TRAIN, 0.5, seed=3)
    assert set(small.index) < set(large.index)
    assert set(small.index) != set(fewer_rows(TRAIN, 0.2, seed=4).index)
    few, many = (wrong_labels(TRAIN, share, 3, seed=3).labels for share in (0.1, 0.3))
    assert (many[few != LABELS] == few[few != LABELS]).all()


@pytest.mark.parametrize(("share", "wrong"), [(0.1, 20), (0.0024, 0), (0.0026, 1), (0.999, 200)])
def test_so_many_labels_are_wrong_and_each_other_class_is_as_likely(share: float, wrong: int) -> None:
    labels = wrong_labels(TRAIN, share, 3, seed=0).labels
    assert (labels != LABELS).sum() == wrong
    assert set(labels) <= {0, 1, 2}
    if wrong == 200:
        assert np.bincount(labels[LABELS == 2], minlength=3)[:2] == pytest.approx([50, 50], abs=20)
    assert np.array_equal(TRAIN.labels, LABELS)  # the source is not touched
