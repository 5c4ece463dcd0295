"""RMSprop (Tieleman & Hinton 2012): gradients divided by their recent size; to repeat published runs that used it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.core.settings import Fraction, Positive, Section
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.01  # step size; auto: chosen by a range test
    alpha: Fraction = 0.99  # decay of the mean of the squared gradients
    momentum: Fraction = 0.0  # share of the previous steps' direction that is kept; 0: none
    epsilon: Positive = 1e-8  # added to the denominator


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """torch's own; the names and the defaults are torch's too."""
    from torch import optim

    return optim.RMSprop(
        weights, settings.learning_rate, alpha=settings.alpha, momentum=settings.momentum, eps=settings.epsilon
    )
