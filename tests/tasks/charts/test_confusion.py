"""Counts with known answers, and a matrix for any number of classes."""

import numpy as np
import pytest

from tasks.charts.confusion import confusion_chart, count_confusions, most_frequent

LABELS, PREDICTED = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2])


def test_counts_one_row_per_true_class_and_one_column_per_predicted_class() -> None:
    assert count_confusions(LABELS, PREDICTED, 3).tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]


def test_lists_errors_only_and_the_most_frequent_first() -> None:
    assert most_frequent(count_confusions(LABELS, PREDICTED, 3), 8) == [(0, 1, 2), (2, 0, 1)]
    assert most_frequent(count_confusions(LABELS, PREDICTED, 3), 1) == [(0, 1, 2)]


@pytest.mark.parametrize(("classes", "texts"), [(20, 20), (21, 0)])
def test_writes_the_counts_where_they_can_be_read(classes: int, texts: int) -> None:
    names = [f"c{number}" for number in range(classes)]
    assert confusion_chart(np.eye(classes, dtype=np.int64) * 777, names).count(">777<") == texts


def test_draws_a_matrix_without_any_error() -> None:
    assert "0 of 4 test images are misclassified" in confusion_chart(np.eye(2, dtype=np.int64) * 2, ["a", "b"])


def test_draws_a_class_that_has_no_test_example() -> None:
    assert "1 of 3" in confusion_chart(np.array([[2, 1], [0, 0]]), ["a", "b"])
