"""Did the training loss go down, as in overfitting, or up and down, as with a learning rate that is too high?"""

from typing import TYPE_CHECKING

from tasks.diagnostics.parts import known

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.diagnostics.crossfit import Comparison
    from tasks.diagnostics.measured import Measured

# The share of rises in the ups and downs of the training loss since the best epoch, from which on the rate is called too high. It is 0
# where the loss falls, as in overfitting, and a half where it jumps (at most 0.13 in 38 and at least 0.38 in 25 trained runs).
LEAST_RISES = 0.25
LOWER_RATE = "lower train.optimizer.learning_rate, or let it fall towards the end (train.schedule: {name: cosine})"
SEEN = "The training loss jumped up and down as well, which overfitting does not do: the learning rate is too high."
SOURCE = "The training loss rose and fell between the best epoch and the saved one."


def rises_since_best(measured: "Measured", comparison: "Comparison") -> float | None:
    """`rises` between the best epoch and the saved one; None where the training losses were not recorded."""
    found: float | None = known(
        lambda: rises(measured.train_epochs.loss, min(comparison.chosen) - 1, comparison.saved - 1), None
    )
    return found


def rises(losses: "NDArray[np.floating]", first: int, last: int) -> float:
    """The share of rises in the ups and downs of the mean training loss from epoch `first` to epoch `last`, counted from 0.

    `losses` (E, M) of each epoch and recorded example, in nats. 0 where the loss only fell, about a half where it jumped without
    getting anywhere, 1 where it only rose or overflowed.
    """
    import numpy as np

    means = losses[min(first, last) : max(first, last) + 1].astype(np.float64).mean(axis=1)
    if not np.isfinite(means).all():
        return 1.0
    steps = np.diff(means)
    moved = float(np.abs(steps).sum())
    return float(steps[steps > 0].sum()) / moved if moved else 0.0
