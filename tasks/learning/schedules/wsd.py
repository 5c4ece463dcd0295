"""Warm-up, a stable rate, then a decay to almost 0 (Hu et al. 2024): the stable part can be continued for a longer run.

The form of the decay, one minus the square root, is that of Hägele et al. 2024, who found it better than the linear one.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from tasks.core.settings import Section

if TYPE_CHECKING:
    from tasks.learning.schedule import Schedule


class Settings(Section):
    warmup_fraction: float = Field(ge=0, le=1, default=0.05)  # share of the steps in which the rate rises from 0, linearly
    decay_fraction: float = Field(ge=0, le=1, default=0.2)  # share of the steps, the last ones, in which it falls
    decay_type: Literal["1-sqrt", "linear", "cosine"] = "1-sqrt"  # how the rate falls over those last steps
    final_fraction: float = Field(ge=0, le=1, default=0.0)  # what the rate falls to, as a share of the stable one

    @model_validator(mode="after")
    def both_fit_into_the_run(self) -> Self:
        if self.warmup_fraction + self.decay_fraction > 1:
            raise ValueError(
                f"warmup_fraction: {self.warmup_fraction:g} and decay_fraction: {self.decay_fraction:g} are more than the whole run; "
                "expected a sum of at most 1"
            )
        return self


DECAYS: dict[str, Callable[[float], float]] = {  # what is left of the rate at a share of the decay
    "1-sqrt": lambda share: 1 - math.sqrt(share),
    "linear": lambda share: 1 - share,
    "cosine": lambda share: (1 + math.cos(math.pi * share)) / 2,
}


def build(settings: Settings, steps_per_epoch: int, epochs: float) -> "Schedule":
    """Counted in steps. The step after the last would have the rate `final_fraction`: no step is spent on a rate of 0."""
    total = round(steps_per_epoch * epochs)
    warmup, decay = round(settings.warmup_fraction * total), round(settings.decay_fraction * total)
    left, floor = DECAYS[settings.decay_type], settings.final_fraction

    def factor(step: int, val_losses: object) -> float:
        if step < warmup:
            return step / warmup
        if step < total - decay:
            return 1.0
        return floor + (1 - floor) * left((step - (total - decay)) / decay)

    return factor
