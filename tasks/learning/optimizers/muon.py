"""Muon (Jordan et al. 2024): orthogonalised momentum for matrices, AdamW for all other weights; often fewest steps for wide layers."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tasks.core.settings import Fraction, NotNegative, Positive, Section
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.001  # step size of Muon and of AdamW; auto: chosen by a range test
    momentum: Fraction = 0.95  # share of the previous steps' direction that is kept, for matrices
    nesterov: bool = True  # look ahead along the momentum
    weight_decay: NotNegative = 0.1  # decoupled: multiplied by the learning rate
    newton_schulz_steps: int = Field(ge=1, lt=100, default=5)  # iterations that make the update orthogonal
    adjust_learning_rate: Literal["original", "match_rms_adamw"] = (
        "match_rms_adamw"  # match_rms_adamw takes AdamW's learning rates as they are
    )
    beta1: Fraction = 0.9  # of AdamW: decay of the mean of gradients
    beta2: Fraction = 0.999  # of AdamW: decay of the mean of squared gradients
    epsilon: Positive = 1e-8  # of AdamW: keeps the step finite where the gradient is 0


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """torch's Muon takes 2-D weights only; biases, norms and convolutions get torch's AdamW with the same rate and decay."""
    import torch
    from torch import optim

    class MuonWithAdamW(optim.Optimizer):
        """Both as one optimizer, which holds their groups and their state: a schedule sets the rate of each, a checkpoint has all."""

        def __init__(self, parts: list[optim.Optimizer]) -> None:
            super().__init__([group for part in parts for group in part.param_groups], {})
            self.parts = parts
            self.share()

        def share(self) -> None:
            for part, group in zip(self.parts, self.param_groups, strict=True):
                part.state, part.param_groups = self.state, [group]

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            super().load_state_dict(state_dict)
            self.share()

        @torch.no_grad()
        def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
            loss = closure() if closure else None
            for part in self.parts:
                part.step()
            return loss

    every = list(weights)
    matrices, rest = [weight for weight in every if weight.ndim == 2], [weight for weight in every if weight.ndim != 2]
    parts: list[optim.Optimizer] = []
    if matrices:
        parts.append(
            optim.Muon(
                matrices,
                settings.learning_rate,
                weight_decay=settings.weight_decay,
                momentum=settings.momentum,
                nesterov=settings.nesterov,
                ns_steps=settings.newton_schulz_steps,
                adjust_lr_fn=settings.adjust_learning_rate,
            )
        )
    if rest:
        parts.append(
            optim.AdamW(
                rest,
                settings.learning_rate,
                betas=(settings.beta1, settings.beta2),
                eps=settings.epsilon,
                weight_decay=settings.weight_decay,
            )
        )
    return MuonWithAdamW(parts)
