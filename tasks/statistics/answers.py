"""What is kept of each epoch's answers on validation: a few numbers per example, however many classes there are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.statistics.arrays import Bools, Floats, Ints
from tasks.statistics.calibration import fit_temperature, log_losses


@dataclass(frozen=True, eq=False)
class Answers:
    """One epoch's answers on the validation examples, or those of all epochs.

    Shapes, of one epoch (V,) and of all (E, V): loss in nats; scaled_loss in nats, of the logits divided by the temperature that was
    fitted on the other half of the examples; correct.
    """

    loss: Floats
    scaled_loss: Floats
    correct: Bools


def answers(logits: NDArray[np.floating], labels: Ints, half: Bools) -> Answers:
    """The answers of one epoch with logits (V, K); each half is scaled by the temperature of the other (cross-fitting)."""
    scaled = np.zeros(len(labels))
    for score in (half, ~half):
        temperature = fit_temperature(logits[~score], labels[~score])
        scaled[score] = log_losses(logits[score] / temperature, labels[score])
    return Answers(log_losses(logits, labels), scaled, logits.argmax(-1) == labels)
