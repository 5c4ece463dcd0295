"""A schedule of the learning rate as a function of the step, and the warm-up that can come before any of them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tasks.core.components import Choice

if TYPE_CHECKING:
    from torch.optim import Optimizer

# The factor of the learning rate for the next step, given the optimizer steps already taken and the validation losses of the
# epochs that have ended. It depends on nothing else, so a run that resumes at any step has the rates of one that never stopped.
Schedule = Callable[[int, Sequence[float]], float]


def with_warmup(choice: Choice, steps_per_epoch: int, epochs: int, warmup_epochs: float, start_fraction: float) -> Schedule:
    """The chosen schedule, after a linear rise of the factor from `start_fraction` to 1 (Goyal et al. 2017, section 2.2).

    The schedule is built for the steps that remain after the warm-up: its first step, and the first validation loss that it is given,
    come after it. As with torch's LinearLR the first step has the factor `start_fraction`: with 0 it changes no weight.
    """
    warmup_steps = round(warmup_epochs * steps_per_epoch)
    remaining: Schedule = choice.module.build(choice.settings, steps_per_epoch, epochs - warmup_steps / steps_per_epoch)
    if warmup_steps == 0:
        return remaining
    warmup_losses = warmup_steps // steps_per_epoch  # epochs that end within the warm-up, or with it

    def factor(step: int, val_losses: Sequence[float]) -> float:
        if step < warmup_steps:
            return start_fraction + (1 - start_fraction) * step / warmup_steps
        return remaining(step - warmup_steps, val_losses[warmup_losses:])

    return factor


def set_rates(optimizer: "Optimizer", factor: float) -> None:
    """Set every group's learning rate to this share of the one that it began with."""
    for group in optimizer.param_groups:
        first = group.setdefault("initial_lr", float(group["lr"]))
        if isinstance(group["lr"], float):
            group["lr"] = first * factor
        else:
            group["lr"].fill_(first * factor)  # a tensor: a recorded step reads it anew each time


def current_rate(optimizer: "Optimizer") -> float:
    """The learning rate of the last step, of the first group."""
    return float(optimizer.param_groups[0]["lr"])
