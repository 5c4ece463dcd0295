"""Adam (Kingma & Ba 2015): a rate per weight that follows the gradients; works nearly untuned, without weight decay."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.core.settings import Fraction, Positive, Section
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.001  # step size; auto: chosen by a range test
    beta1: Fraction = 0.9  # decay of the mean of the gradients
    beta2: Fraction = 0.999  # decay of the mean of their squares
    epsilon: Positive = 1e-8  # added to the denominator


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """torch's own, fused, with the rate in a tensor: so a recorded step (tasks/learning/recorded.py) follows the schedule."""
    import torch
    from torch import optim

    return optim.Adam(
        weights,
        torch.tensor(settings.learning_rate),
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=True,
    )
