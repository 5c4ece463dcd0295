"""The learning rate of the first epoch, all the way."""

from typing import TYPE_CHECKING

from tasks.core.settings import Section

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


class Settings(Section):
    """No options."""


def build(settings: Settings, optimizer: "Optimizer", epochs: int) -> "LRScheduler":
    """torch's own."""
    from torch.optim.lr_scheduler import ConstantLR

    return ConstantLR(optimizer, factor=1.0, total_iters=0)
