"""Exponential moving average (Polyak & Juditsky 1992): a smoother model at no cost in steps; for long runs with a steady rate."""

from typing import TYPE_CHECKING

from tasks.core.settings import Fraction, Section

if TYPE_CHECKING:
    from torch.nn import Module

    from tasks.learning.averager import Averager


class Settings(Section):
    decay: Fraction = 0.999  # share of the average that is kept at each step; it looks back over about 1 / (1 - decay) steps


def build(settings: Settings, model: "Module", steps_per_epoch: int, epochs: int) -> "Averager | None":
    """torch's own, from the first step on; the statistics of batch norm are averaged as the weights are."""
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from tasks.learning.averager import Averager

    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.decay), use_buffers=True)
    return Averager(average, start=1)
