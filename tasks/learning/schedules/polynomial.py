"""A power of the share of the run that is left (Chen et al. 2018, section 4.1): linear decay to 0, or 0.9 for segmentation."""

from typing import TYPE_CHECKING

from tasks.core.settings import Positive, Section

if TYPE_CHECKING:
    from tasks.learning.schedule import Schedule


class Settings(Section):
    power: Positive = 1.0  # 1: linear


def build(settings: Settings, steps_per_epoch: int, epochs: float) -> "Schedule":
    """The rates of torch's PolynomialLR, stepped after every batch, with the steps of the run as its `total_iters`."""
    total = round(steps_per_epoch * epochs)
    return lambda step, val_losses: float((1 - step / total) ** settings.power)
