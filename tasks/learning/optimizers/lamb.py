"""LAMB (You et al. 2020): Adam with a step in proportion to each layer's weights; for batches of thousands."""

from collections.abc import Callable, Iterable
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
    epsilon: Positive = 1e-6  # added to the denominator
    weight_decay: NotNegative = 0.0  # added to the direction of a step, times the weight


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """Algorithm 2 of the paper with the identity for its function φ; torch has none."""
    import torch
    from torch import optim

    class Lamb(optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
            loss = closure() if closure else None
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self.update(weight, weight.grad, self.state[weight], group["lr"])
            return loss

        def update(self, weight: "Parameter", gradient: torch.Tensor, state: dict[str, torch.Tensor], rate: float) -> None:
            if not state:
                state |= {"step": torch.zeros(()), "mean": torch.zeros_like(weight), "square": torch.zeros_like(weight)}
            state["step"] += 1
            step = state["step"].item()
            mean = state["mean"].lerp_(gradient, 1 - settings.beta1)
            square = state["square"].mul_(settings.beta2).addcmul_(gradient, gradient, value=1 - settings.beta2)
            unbiased = mean / (1 - settings.beta1**step)
            direction = unbiased / ((square / (1 - settings.beta2**step)).sqrt_() + settings.epsilon)
            direction += settings.weight_decay * weight
            size, length = weight.norm(), direction.norm()
            trust = torch.where((size > 0) & (length > 0), size / length, 1.0)
            weight.sub_(rate * trust * direction)

    return Lamb(weights, {"lr": settings.learning_rate})
