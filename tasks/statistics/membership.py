"""How well losses tell the examples that a model was trained on from those that it was not."""

import numpy as np
from numpy.typing import NDArray

from tasks.statistics.arrays import Floats
from tasks.statistics.comparisons import Contrast
from tasks.statistics.intervals import exceedance, quantile


def lower_probability(members: Floats, others: Floats, confidence: float) -> Contrast:
    """P(a member's loss is lower than another's), ties counted half: the area under the ROC curve of the loss-threshold attack.

    Shapes: members (M,), others (N,), each of at least two. The standard error is that of DeLong, DeLong & Clarke-Pearson 1988, from
    the ranks of Sun & Xu 2014; the interval is normal, and the p-value is that of "not above 1/2".
    """
    m, n = len(members), len(others)
    ranks = _midranks(np.concatenate([members, others]))
    of_members = 1 - (ranks[:m] - _midranks(members)) / n  # share of the others above each member
    of_others = (ranks[m:] - _midranks(others)) / m  # share of the members below each other
    area = float(of_members.mean())
    error = float(np.sqrt(of_members.var(ddof=1) / m + of_others.var(ddof=1) / n))
    width = quantile((1 + confidence) / 2) * error
    p_value = exceedance((area - 0.5) / error, np.inf) if error > 0 else float(area <= 0.5)
    return Contrast(area, error, max(0.0, area - width), min(1.0, area + width), p_value)


def caught(members: NDArray[np.floating], others: NDArray[np.floating], threshold: float) -> tuple[int, int]:
    """How many members and how many others have a loss of at most `threshold`, and so are called members (Yeom et al. 2018).

    The membership advantage is the difference of the two shares. For the 0/1 loss with threshold 0 it is the accuracy gap.
    """
    return int((members <= threshold).sum()), int((others <= threshold).sum())


def roc(members: Floats, others: Floats, points: int) -> tuple[Floats, Floats]:
    """The ROC curve of the loss-threshold attack: shares (P,) of others and of members that are called members.

    The thresholds are about `points` evenly spaced quantiles of the members' losses and as many of the others'; equal ones count once.
    Both ends, no one and everyone, are part of it.
    """
    chosen = [np.sort(losses)[np.linspace(0, len(losses) - 1, points).round().astype(int)] for losses in (members, others)]
    thresholds = np.unique(np.concatenate([[-np.inf], *chosen, [np.inf]]))
    shares = (np.searchsorted(np.sort(losses), thresholds, side="right") / len(losses) for losses in (others, members))
    false, true = shares
    return false, true


def _midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place.ravel()], dtype=np.float64)
