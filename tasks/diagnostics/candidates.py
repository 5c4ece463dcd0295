"""The rows of a split whose labels are the most suspicious, to be looked at by a person."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.splits import Arrays, SplitName
from tasks.diagnostics.measured import Measured
from tasks.statistics.arrays import Floats, Ints


@dataclass(frozen=True)
class Candidate:
    """A row whose given label looks wrong, and the class that the model would rather see there."""

    position: int  # in the split
    row: int  # number of the row, as the split counts it
    given: int
    suggested: int
    margin: float  # logit of the given class minus the largest other; on train, its mean over epochs


def label_candidates(measured: Measured, split: SplitName, count: int) -> list[Candidate]:
    """The `count` most suspicious rows of a split, the lowest margin first; all of them where the split has fewer.

    On train the margin is the area under the margin (Pleiss et al. 2020, equation 2): the mean margin over the epochs up to that of
    the lowest validation log-loss. Later epochs memorise wrong labels, which raises their margin. Only the recorded training examples
    are ranked. On val and test, which the model was not trained on, the margin is that of the saved weights. Ranked by it, planted
    flips are found at a higher average precision (0.71 to 0.98) than by the difference of probabilities, which confident learning
    calls the normalised margin (Northcutt et al. 2021, section 4; 0.46 to 0.96), because the probabilities of an overtrained model
    are nearly all 0 or 1.

    The suggested class is the one with the largest logit of the saved weights among the others. Being a candidate proves nothing: a
    rare but correct example looks alike.
    """
    rows: Arrays = getattr(measured, split)
    positions, logits = _ranked(measured, split)
    labels, numbers = rows.labels[positions], rows.rows[positions]
    held_out, suggested = margins(logits, labels)
    margin = area_under_margin(measured) if split == "train" else held_out
    return [
        Candidate(int(positions[k]), int(numbers[k]), int(labels[k]), int(suggested[k]), float(margin[k]))
        for k in np.argsort(margin, kind="stable")[:count]
    ]


def area_under_margin(measured: Measured) -> Floats:
    """Of each recorded training example (M,): the mean margin up to the best validation epoch, or the saved one without validation."""
    losses = measured.val_epochs.loss
    means = losses.mean(axis=1) if losses.shape[1] else np.full(len(losses), np.nan)
    best = int(np.nanargmin(means)) if np.isfinite(means).any() else measured.saved
    area: Floats = measured.train_epochs.margin[: best + 1].astype(np.float64).mean(axis=0)
    return area


def margins(logits: NDArray[np.floating], labels: Ints) -> tuple[Floats, Ints]:
    """The logit of the given class minus the largest other (N,), and which other class that is (N,)."""
    others = np.asarray(logits, dtype=np.float64).copy()
    given = np.take_along_axis(others, labels[:, None], axis=1)[:, 0]
    np.put_along_axis(others, labels[:, None], -np.inf, axis=1)
    return given - others.max(axis=1), others.argmax(axis=1)


def _ranked(measured: Measured, split: SplitName) -> tuple[Ints, NDArray[np.floating]]:
    """Positions of the rows that can be ranked, and the logits of the saved weights there."""
    if split == "train":
        return measured.train_index, measured.train_logits
    logits = measured.val_logits if split == "val" else measured.test_logits
    return np.arange(len(logits)), logits
