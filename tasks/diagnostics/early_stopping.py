"""What early stopping would have brought: its rule is replayed on the recorded epochs, out of fold."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.diagnostics.crossfit import paired_mean, strongest_rival
from tasks.statistics.arrays import Floats

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Measured
    from tasks.statistics.comparisons import Contrast

PATIENCE, MIN_DELTA = 5, 0.0  # the defaults of train.early_stopping


@dataclass(frozen=True)
class Replay:
    """The gain in log-loss (nats) over the saved epoch, and the epochs (from 1) at which either half of validation stops."""

    gain: "Contrast"
    stopped: tuple[int, int]


def stopped_epoch(losses: Floats, patience: int, min_delta: float = MIN_DELTA) -> int:
    """The epoch (from 0) that early stopping restores, given the validation loss of every epoch (E,)."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best] - min_delta:
            best = epoch
        if epoch - best >= patience:
            break
    return best


def replayed(measured: "Measured", confidence: float, patience: int = PATIENCE) -> Replay | None:
    """Stop by the losses of one half of validation, score on the other half, and swap.

    The promise is one of log-loss, before temperature scaling: what the run would measure. It is made at the confidence that the
    caller states, which has to allow for the fact that only a harm that was shown is followed by a promise (Benjamini and Yekutieli
    2005, section 3.1: the more tests and the fewer flags among them, the wider).

    Returns:
        None where the records cannot tell: early stopping watches `train.loss`, and that is not the log-loss.
    """
    losses, half, saved = measured.val_epochs.loss, measured.val_half, measured.saved
    if not np.allclose(losses.mean(axis=1), measured.watched, rtol=1e-4, atol=1e-6):
        return None
    values, against = np.zeros(losses.shape[1]), np.zeros(losses.shape[1])
    stopped = []
    for score in (half, ~half):
        epoch = stopped_epoch(losses[:, ~score].mean(axis=1), patience)
        other = epoch if epoch != saved else strongest_rival(losses[:, ~score], saved)
        values[score] = losses[saved, score] - losses[epoch, score]
        against[score] = losses[saved, score] - losses[other, score]
        stopped.append(epoch + 1)
    return Replay(paired_mean(values, half, confidence, against), (stopped[0], stopped[1]))
