"""An average of the weights that training passes through; it is what is evaluated and kept."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel


@dataclass
class Averager:
    """Updates torch's `AveragedModel` at the steps that the component asks for."""

    average: AveragedModel
    start: int  # the first step, counted from 1, after which the weights are taken up
    every: int = 1  # steps from one to the next

    @property
    def started(self) -> bool:
        """Whether the average holds anything yet."""
        return bool(self.average.n_averaged > 0)

    @property
    def model(self) -> nn.Module:
        module: nn.Module = self.average.module
        return module

    def update(self, model: nn.Module, step: int) -> None:
        """After step number `step` of the optimizer, counted from 1."""
        if step >= self.start and (step - self.start) % self.every == 0:
            self.average.update_parameters(model)

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)
