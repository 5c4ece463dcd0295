"""Schedule-free AdamW (Defazio et al. 2024): an average of the weights in place of a schedule; the length of the run may be open.

Weights are held at three points: z takes AdamW's steps, x is the weighted average of z, and gradients are taken at y, between both.
`train()` puts y into the model and `eval()` puts x there, exactly, so that measuring in between changes nothing. With batch
normalisation the running statistics belong to y. Use the schedule `constant`: the average takes the place of another.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from tasks.core.errors import TrainingError
from tasks.core.settings import Fraction, NotNegative, Positive, Section
from tasks.learning.learning_rate import LearningRate, is_auto

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Section):
    learning_rate: LearningRate = 0.0025  # step size; auto: chosen by a range test
    beta1: Fraction = 0.9  # how far gradients are taken from z towards the average x
    beta2: Fraction = 0.999  # decay of the mean of the squared gradients
    epsilon: Positive = 1e-8  # added to the denominator
    weight_decay: NotNegative = 0.0  # decoupled, at y: multiplied by the learning rate
    warmup_steps: int = Field(ge=0, default=0)  # steps of linear learning-rate warm-up; the first is not 0
    r: NotNegative = 0.0  # later steps weigh more in the average: by this power of their number
    weight_lr_power: NotNegative = 2.0  # steps with a low learning rate weigh less in the average: by this power of it

    @model_validator(mode="after")
    def a_range_test_sets_the_rates_itself(self) -> Self:
        if is_auto(self.learning_rate) and self.warmup_steps:
            raise ValueError(
                f"warmup_steps: found {self.warmup_steps} with learning_rate: auto, whose range test would measure lowered rates; "
                "state train.warmup.epochs instead, or a number"
            )
        return self


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """Algorithm 1 of the paper, with the bias of the squares corrected in the denominator as the authors' later code does."""
    import torch
    from torch import optim

    class ScheduleFreeAdamW(optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
            loss = closure() if closure else None
            for group in self.param_groups:
                if not group["training"]:
                    raise TrainingError(
                        "schedulefree_adamw is in evaluation mode; expected a call of its train() before a step"
                    )
                group["steps"] += 1
                rate = group["lr"] * min(1.0, group["steps"] / max(settings.warmup_steps, 1))
                share = self.share_of_the_average(group, rate)
                for weight in group["params"]:
                    if weight.grad is not None:
                        self.update(weight, weight.grad, self.state[weight], group["steps"], rate=rate, share=share)
            return loss

        def share_of_the_average(self, group: dict[str, Any], rate: float) -> float:
            """What part of the new average is the newest z."""
            group["largest_rate"] = max(group["largest_rate"], rate)
            importance = group["steps"] ** settings.r * group["largest_rate"] ** settings.weight_lr_power
            group["importance"] += importance
            return importance / group["importance"] if group["importance"] else 0.0  # 0: a warm-up that starts at a rate of 0

        def update(
            self, y: "Parameter", gradient: torch.Tensor, state: dict[str, Any], steps: int, *, rate: float, share: float
        ) -> None:
            if not state:
                state.update(z=y.clone(), x=y.clone(), squares=torch.zeros_like(y))
            z, x, squares = state["z"], state["x"], state["squares"]
            squares.mul_(settings.beta2).addcmul_(gradient, gradient, value=1 - settings.beta2)
            denominator = squares.div(1 - settings.beta2**steps).sqrt_().add_(settings.epsilon)
            z.sub_(gradient / denominator + settings.weight_decay * y, alpha=rate)
            x.lerp_(z, share)
            y.copy_(z.lerp(x, settings.beta1))

        @torch.no_grad()
        def eval(self) -> None:
            """Put the average into the model; y is kept for `train()`."""
            for group in self.param_groups:
                for weight in group["params"]:
                    if group["training"] and (state := self.state.get(weight)):
                        state["y"] = weight.clone()
                        weight.copy_(state["x"])
                group["training"] = False

        @torch.no_grad()
        def train(self) -> None:
            """Put y back into the model."""
            for group in self.param_groups:
                for weight in group["params"]:
                    if not group["training"] and (state := self.state.get(weight)):
                        weight.copy_(state.pop("y"))
                group["training"] = True

    counters = {"steps": 0, "largest_rate": 0.0, "importance": 0.0, "training": True}
    return ScheduleFreeAdamW(weights, {"lr": settings.learning_rate, **counters})
