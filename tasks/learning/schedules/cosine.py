"""Half a cosine from the first learning rate towards a share of it (Loshchilov & Hutter 2017, eq. 5): the common choice today."""

import math
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from tasks.learning.schedule import Schedule


class Settings(Section):
    final_fraction: float = Field(ge=0, le=1, default=0.0)  # what the rate falls to, as a share of the first


def build(settings: Settings, steps_per_epoch: int, epochs: float) -> "Schedule":
    """The rates of torch's CosineAnnealingLR(T_max=epochs) without restarts, stepped once per epoch.

    The epoch after the last would have that share of the first rate: where it is 0, no epoch is spent on it.
    """
    floor = settings.final_fraction
    return lambda step, val_losses: floor + (1 - floor) * (1 + math.cos(math.pi * (step // steps_per_epoch) / epochs)) / 2
