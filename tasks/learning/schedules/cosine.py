"""Half a cosine from the first learning rate down to a share of it (Loshchilov & Hutter 2017, eq. 5, without restarts)."""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


class Settings(Section):
    final_fraction: float = Field(ge=0, le=1, default=0.0)  # the last learning rate, as a share of the first


def build(settings: Settings, optimizer: "Optimizer", epochs: int) -> "LRScheduler":
    """torch's own. The last epoch is the last to be annealed, so that `final_fraction` is reached in it."""
    from torch.optim.lr_scheduler import CosineAnnealingLR

    floor = settings.final_fraction * float(optimizer.param_groups[0]["lr"])
    return CosineAnnealingLR(optimizer, T_max=max(epochs - 1, 1), eta_min=floor)
