"""Stochastic weight averaging (Izmailov et al. 2018): the mean of the last epochs' weights; wide optima at a constant rate."""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from torch.nn import Module

    from tasks.learning.averager import Averager


class Settings(Section):
    start_fraction: float = Field(ge=0, lt=1, default=0.75)  # share of the epochs before the first whose weights are averaged


def build(settings: Settings, model: "Module", steps_per_epoch: int, epochs: int) -> "Averager | None":
    """torch's own, once at the end of each epoch. The statistics of batch norm are averaged too, where the paper computes them anew."""
    from torch.optim.swa_utils import AveragedModel, get_swa_avg_fn

    from tasks.learning.averager import Averager

    first = int(settings.start_fraction * epochs) + 1  # counted from 1; at most the last
    # Its faster form for all weights at once fails on the integer that batch norm counts its batches with (torch 2.15).
    average = AveragedModel(model, avg_fn=get_swa_avg_fn(), use_buffers=True)
    return Averager(average, start=first * steps_per_epoch, every=steps_per_epoch)
