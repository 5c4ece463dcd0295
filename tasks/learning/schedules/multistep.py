"""A fixed factor at chosen epochs (He et al. 2016, section 4.2): to repeat published runs of SGD that name their epochs."""

from bisect import bisect_right
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from tasks.learning.schedule import Schedule


class Settings(Section):
    milestones: list[Annotated[int, Field(ge=1)]] = Field(default=[30, 80])  # epochs after which the learning rate is reduced
    gamma: float = Field(gt=0, le=1, default=0.1)  # what the learning rate is multiplied by at each of them


def build(settings: Settings, steps_per_epoch: int, epochs: float) -> "Schedule":
    """The rates of torch's MultiStepLR, stepped once per epoch; a milestone that is named twice counts twice."""
    milestones = sorted(settings.milestones)
    return lambda step, val_losses: settings.gamma ** bisect_right(milestones, step // steps_per_epoch)
