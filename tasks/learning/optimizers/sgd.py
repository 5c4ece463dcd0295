"""Stochastic gradient descent, with momentum (Sutskever et al. 2013); with a tuned rate and schedule often the best for images."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from tasks.core.settings import Fraction, Section
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.001  # step size; auto: chosen by a range test
    momentum: Fraction = 0.0  # share of the previous steps' direction that is kept; 0: none
    nesterov: bool = False  # look ahead along the momentum

    @model_validator(mode="after")
    def nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: true needs a momentum above 0")
        return self


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """torch's own; the names and the defaults are torch's too."""
    from torch import optim

    return optim.SGD(weights, settings.learning_rate, momentum=settings.momentum, nesterov=settings.nesterov)
