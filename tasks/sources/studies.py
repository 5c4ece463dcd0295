"""Training rows that are changed on purpose, for studies: fewer of them, or some with a wrong label. Val and test stay as they are."""

import math
from dataclasses import replace

import numpy as np

from tasks.sources.dividing import Part
from tasks.statistics.random import STUDY_LABELS, STUDY_ROWS, generator


def fewer_rows(part: Part, fraction: float, seed: int) -> Part:
    """Of each class the nearest whole number of rows to `fraction`, never none; with one seed, a smaller share is part of a larger."""
    random, kept = generator(seed, STUDY_ROWS), []
    for number in np.unique(part.labels):
        members = random.permutation(np.flatnonzero(part.labels == number))
        kept.append(members[: max(math.floor(len(members) * fraction + 0.5), 1)])
    chosen = np.sort(np.concatenate(kept))
    return replace(part, index=part.index[chosen])


def wrong_labels(part: Part, share: float, classes: int, seed: int) -> Part:
    """The nearest whole number of rows to `share` get another class at random; with one seed, a smaller share is part of a larger."""
    random, labels = generator(seed, STUDY_LABELS), part.labels.copy()
    rows, shift = random.permutation(len(labels)), random.integers(1, classes, size=len(labels))
    rows = rows[: math.floor(len(labels) * share + 0.5)]
    labels[rows] = (labels[rows] + shift[rows]) % classes
    return replace(part, replaced=labels)
