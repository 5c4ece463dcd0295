"""Adafactor (Shazeer & Stern 2018): stores row and column means instead of every squared gradient; for models that fill the memory."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import NotNegative, Section
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.01  # largest step size, relative to the size of the weights
    beta2_decay: float = Field(le=0, default=-0.8)  # exponent with which the memory of squared gradients grows
    clip_threshold: float = Field(ge=1, default=1.0)  # largest root mean square of an update (torch calls it d)
    weight_decay: NotNegative = 0.0  # decoupled: multiplied by the learning rate


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """torch's own; the names and the defaults are torch's too."""
    from torch import optim

    return optim.Adafactor(
        weights,
        settings.learning_rate,
        beta2_decay=settings.beta2_decay,
        d=settings.clip_threshold,
        weight_decay=settings.weight_decay,
    )
