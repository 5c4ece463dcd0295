"""The learning rate is multiplied by a factor every so many epochs."""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


class Settings(Section):
    every_epochs: int = Field(ge=1, default=10)  # epochs between two reductions
    factor: float = Field(gt=0, le=1, default=0.1)  # what the learning rate is multiplied with


def build(settings: Settings, optimizer: "Optimizer", epochs: int) -> "LRScheduler":
    """torch's own."""
    from torch.optim.lr_scheduler import StepLR

    return StepLR(optimizer, settings.every_epochs, settings.factor)
