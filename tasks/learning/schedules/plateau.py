"""A fixed factor when the validation loss no longer falls (He et al. 2016, section 3.4): where nobody knows the right epochs."""

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.core.settings import Fraction, NotNegative, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.learning.schedule import Schedule


class Settings(Section):
    factor: float = Field(gt=0, lt=1, default=0.1)  # what the learning rate is multiplied by
    patience: int = Field(ge=0, default=10)  # epochs without improvement that are tolerated
    threshold: NotNegative = 1e-4  # a smaller fall of the loss is no improvement
    threshold_mode: Literal["rel", "abs"] = "rel"  # the threshold is a share of the lowest loss, or a difference from it
    cooldown: int = Field(ge=0, default=0)  # epochs after a reduction that do not count as without improvement
    min_fraction: Fraction = 0.0  # the learning rate falls to no less than this share of the first


def build(settings: Settings, steps_per_epoch: int, epochs: float) -> "Schedule":
    """The rates of torch's ReduceLROnPlateau with `eps=0`; `min_fraction` is its `min_lr` as a share of the learning rate.

    The rate is worked out anew from all losses so far, so that it needs no state of its own.
    """
    return lambda step, val_losses: _reduced(settings, val_losses)


def _reduced(settings: Settings, val_losses: "Sequence[float]") -> float:
    factor, best, bad_epochs, cooldown = 1.0, math.inf, 0, 0
    for loss in val_losses:
        limit = best * (1 - settings.threshold) if settings.threshold_mode == "rel" else best - settings.threshold
        if loss < limit:
            best, bad_epochs = loss, 0
        else:
            bad_epochs += 1
        if cooldown > 0:
            cooldown, bad_epochs = cooldown - 1, 0
        if bad_epochs > settings.patience:
            factor = max(factor * settings.factor, settings.min_fraction)
            cooldown, bad_epochs = settings.cooldown, 0
    return factor
