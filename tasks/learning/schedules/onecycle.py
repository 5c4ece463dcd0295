"""A rise to the learning rate and a long fall to almost 0 (Smith & Topin 2019): short runs with a rate higher than is usual."""

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from tasks.learning.schedule import Schedule


class Settings(Section):
    pct_start: float = Field(ge=0, le=1, default=0.3)  # share of the steps in which the rate rises
    div_factor: float = Field(ge=1, default=25.0)  # the first rate is the highest, `learning_rate`, divided by this
    final_div_factor: float = Field(ge=1, default=10_000.0)  # the last rate is the first divided by this
    anneal_strategy: Literal["cos", "linear"] = "cos"  # whether the rate rises and falls along a cosine or a line
    three_phase: bool = False  # fall back to the first rate as fast as it rose, and from there to the last


def build(settings: Settings, steps_per_epoch: int, epochs: float) -> "Schedule":
    """The rates of torch's OneCycleLR with `cycle_momentum=False`, stepped after every batch.

    The optimizer's learning rate is OneCycleLR's `max_lr`. Unlike in the paper, and in torch's default, the momentum stays as it is.
    """
    total, start = round(steps_per_epoch * epochs), settings.pct_start
    first = 1 / settings.div_factor
    last = first / settings.final_div_factor
    rise = (start * total - 1, first, 1.0)  # the step in which a phase ends, and the factors that it begins and ends with
    back = (2 * start * total - 2, 1.0, first)
    phases = [rise, back, (total - 1, first, last)] if settings.three_phase else [rise, (total - 1, 1.0, last)]

    def factor(step: int, val_losses: object) -> float:
        began = 0.0
        for ends, low, high in phases[:-1]:
            if step <= ends:
                return _between(low, high, _share(step, began, ends), settings.anneal_strategy)
            began = ends
        ends, low, high = phases[-1]
        return _between(low, high, _share(step, began, ends), settings.anneal_strategy)

    return factor


def _share(step: int, began: float, ends: float) -> float:
    """The part of a phase that lies behind a step; a phase of a single step is at its end."""
    return (step - began) / (ends - began) if ends != began else 1.0


def _between(first: float, last: float, share: float, strategy: str) -> float:
    """The factor at a share of the way from `first` to `last`."""
    if strategy == "linear":
        return (last - first) * share + first
    return last + (first - last) / 2 * (math.cos(math.pi * share) + 1)
