"""Adam with decoupled weight decay (Loshchilov & Hutter 2019): the common choice for new models."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.core.settings import Fraction, NotNegative, Positive, Section
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.001  # step size; auto: chosen by a range test
    beta1: Fraction = 0.9  # decay of the mean of the gradients
    beta2: Fraction = 0.999  # decay of the mean of their squares
    epsilon: Positive = 1e-8  # added to the denominator
    weight_decay: NotNegative = 0.01  # decoupled: multiplied by the learning rate


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """torch's own, fused, with the rate in a tensor: so a recorded step (tasks/learning/recorded.py) follows the schedule."""
    import torch
    from torch import optim

    return optim.AdamW(
        weights,
        torch.tensor(settings.learning_rate),
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )
