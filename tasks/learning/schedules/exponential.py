"""A fixed factor after every epoch (Tan & Le 2019, section 5.2): a smooth decay that does not depend on the length of the run."""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from tasks.learning.schedule import Schedule


class Settings(Section):
    gamma: float = Field(gt=0, le=1, default=0.95)  # what the learning rate is multiplied by after each epoch


def build(settings: Settings, steps_per_epoch: int, epochs: float) -> "Schedule":
    """The rates of torch's ExponentialLR, stepped once per epoch."""
    return lambda step, val_losses: float(settings.gamma ** (step // steps_per_epoch))
