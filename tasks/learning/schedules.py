"""The schedules of the learning rate: torch's own, stepped once an epoch."""

from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, StepLR

from tasks.contracts.params.train import Schedule, ScheduleName


def constant(optimizer: Optimizer, _: Schedule, __: int) -> LRScheduler:
    return ConstantLR(optimizer, factor=1.0, total_iters=0)


def step(optimizer: Optimizer, settings: Schedule, _: int) -> LRScheduler:
    return StepLR(optimizer, settings.step.every_epochs, settings.step.factor)


def cosine(optimizer: Optimizer, settings: Schedule, epochs: int) -> LRScheduler:
    """Half a cosine from the first rate down to `final_fraction` of it (Loshchilov & Hutter 2017, eq. 5, without restarts).

    The last epoch is the last to be annealed, so that `final_fraction` is reached in it.
    """
    floor = settings.cosine.final_fraction * float(optimizer.param_groups[0]["lr"])
    return CosineAnnealingLR(optimizer, T_max=max(epochs - 1, 1), eta_min=floor)


REGISTRY: dict[ScheduleName, Callable[[Optimizer, Schedule, int], LRScheduler]] = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
}


def build(settings: Schedule, optimizer: Optimizer, epochs: int) -> LRScheduler:
    """The chosen schedule over `epochs` epochs."""
    return REGISTRY[settings.name](optimizer, settings, epochs)
