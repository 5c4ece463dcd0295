"""Adam with Nesterov momentum (Dozat 2016): looks ahead along the momentum; worth a try where Adam works."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.core.settings import Fraction, NotNegative, Positive, Section
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.002  # step size; auto: chosen by a range test
    beta1: Fraction = 0.9  # decay of the mean of the gradients
    beta2: Fraction = 0.999  # decay of the mean of their squares
    epsilon: Positive = 1e-8  # added to the denominator
    weight_decay: NotNegative = 0.0  # added to the gradient, times the weight
    momentum_decay: NotNegative = 0.004  # how fast the momentum grows to beta1
    decoupled_weight_decay: bool = (
        False  # multiply the decay by the learning rate, as AdamW does, instead of adding it to the gradient
    )


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """torch's own; the names and the defaults are torch's too."""
    from torch import optim

    return optim.NAdam(
        weights,
        settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        momentum_decay=settings.momentum_decay,
        decoupled_weight_decay=settings.decoupled_weight_decay,
    )
