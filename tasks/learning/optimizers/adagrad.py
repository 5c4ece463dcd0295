"""Adagrad (Duchi et al. 2011): a rate per weight that only falls; for features that are rarely active."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.core.settings import NotNegative, Positive, Section
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.01  # step size; auto: chosen by a range test
    learning_rate_decay: NotNegative = 0.0  # the rate is divided by 1 + steps times this
    weight_decay: NotNegative = 0.0  # added to the gradient, times the weight
    initial_accumulator_value: NotNegative = 0.0  # first value of the sum of squared gradients
    epsilon: Positive = 1e-10  # added to the denominator


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """torch's own; the names and the defaults are torch's too."""
    from torch import optim

    return optim.Adagrad(
        weights,
        settings.learning_rate,
        lr_decay=settings.learning_rate_decay,
        weight_decay=settings.weight_decay,
        initial_accumulator_value=settings.initial_accumulator_value,
        eps=settings.epsilon,
    )
