"""Did the training loss go down, as in overfitting, or up and down, as with a learning rate that is too high?"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rises(losses: "NDArray[np.floating]", first: int, last: int) -> float:
    """The share of rises in the ups and downs of the mean training loss from epoch `first` to epoch `last`, counted from 0.

    `losses` (E, M) of each epoch and recorded example, in nats. 0 where the loss only fell, about a half where it jumped without
    getting anywhere, 1 where it only rose or overflowed.
    """
    means = losses[min(first, last) : max(first, last) + 1].astype(np.float64).mean(axis=1)
    if not np.isfinite(means).all():
        return 1.0
    steps = np.diff(means)
    moved = float(np.abs(steps).sum())
    return float(steps[steps > 0].sum()) / moved if moved else 0.0
