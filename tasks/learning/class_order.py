"""Training rows that are sorted by class and not shuffled: each step then follows the gradient of a few classes alone."""

from typing import NamedTuple

import numpy as np

from tasks.statistics.arrays import Ints

# Below this share of what random order gives, the order of the classes counts: rows sorted by class come near 0, shuffled ones near 1.
ENOUGH = 0.5


class BatchClasses(NamedTuple):
    """How many classes a batch holds on average, and how many it would hold if the rows were in random order."""

    found: float
    expected: float


def classes_per_batch(labels: Ints, batch_size: int) -> BatchClasses | None:
    """Count the classes of consecutive rows; None where there are too few rows for two batches.

    In random order, n rows hold sum over k of 1 - (1 - p_k) ** n classes on average, with p_k the share of class k.

    Args:
        labels: (N,) of the train split, in the order in which its rows are trained on.
        batch_size: examples of each step; where it is 1, pairs of rows are counted.
    """
    size = max(2, batch_size)  # one row is of one class in any order; two tell whether the classes alternate
    whole = len(labels) // size
    if whole < 2:
        return None
    ordered = np.sort(labels[: whole * size].reshape(whole, size), axis=1)
    found = 1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1).mean()
    shares = np.bincount(labels) / len(labels)
    return BatchClasses(float(found), float((1 - (1 - shares) ** size).sum()))


def warn_of_class_order(labels: Ints, batch_size: int) -> None:
    """Print one line where batches in the order of the rows hold far fewer classes than rows in random order would.

    Args:
        labels: (N,) of the train split, in the order in which its rows are trained on.
        batch_size: examples of each step.
    """
    counted = classes_per_batch(labels, batch_size)
    if counted is not None and counted.found - 1 < ENOUGH * (counted.expected - 1):
        print(
            f"train: train.shuffle is false, and the rows come in class order: {max(2, batch_size)} consecutive rows hold "
            f"{counted.found:.1f} classes on average, and {counted.expected:.1f} in random order; each step sees few classes, and the "
            "model may learn badly; set train.shuffle to true"
        )
