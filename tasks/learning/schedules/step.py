"""A fixed factor every so many epochs (Szegedy et al. 2015, section 6): where long runs are cut into equal stages."""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from tasks.learning.schedule import Schedule


class Settings(Section):
    step_size: int = Field(ge=1, default=10)  # epochs between two reductions
    gamma: float = Field(gt=0, le=1, default=0.1)  # what the learning rate is multiplied by


def build(settings: Settings, steps_per_epoch: int, epochs: float) -> "Schedule":
    """The rates of torch's StepLR, stepped once per epoch."""
    return lambda step, val_losses: settings.gamma ** (step // steps_per_epoch // settings.step_size)
