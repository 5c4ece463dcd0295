"""Lion (Chen et al. 2023): steps by the sign of the momentum; a third to a tenth of AdamW's rate, and half its memory."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tasks.core.settings import Fraction, NotNegative, Section
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.0001  # step size; auto: chosen by a range test
    beta1: Fraction = 0.9  # share of the momentum in the direction of a step
    beta2: Fraction = 0.99  # decay of the momentum
    weight_decay: NotNegative = 0.0  # decoupled: multiplied by the learning rate


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """Algorithm 2 of the paper; torch has none."""
    import torch
    from torch import optim

    class Lion(optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
            loss = closure() if closure else None
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self.update(weight, weight.grad, self.state[weight], group["lr"])
            return loss

        def update(self, weight: "Parameter", gradient: torch.Tensor, state: dict[str, torch.Tensor], rate: float) -> None:
            momentum = state.setdefault("momentum", torch.zeros_like(weight))
            direction = momentum.lerp(gradient, 1 - settings.beta1).sign_()
            weight.mul_(1 - rate * settings.weight_decay).sub_(direction, alpha=rate)
            momentum.lerp_(gradient, 1 - settings.beta2)

    return Lion(weights, {"lr": settings.learning_rate})
