"""Mixed precision (Micikevicius et al. 2018): the forward pass in 16 bits, weights, loss and optimizer in 32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

Name = Literal["32-true", "bf16-mixed", "16-mixed"]


class Precision:
    """Autocasting, and for float16, whose small gradients would become 0, the scaling of the loss.

    Args:
        name: as Lightning names them.
        device: on which the model computes.
    """

    def __init__(self, name: Name = "32-true", device: str = "cpu") -> None:
        self.device = device
        self.dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(name)
        self.scaler = torch.amp.GradScaler(device, enabled=name == "16-mixed")

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.dtype is None else torch.autocast(self.device, self.dtype)

    def scale(self, loss: Tensor) -> Tensor:
        return self.scaler.scale(loss)

    def unscale(self, optimizer: Optimizer) -> None:
        """Before anything looks at the gradients."""
        self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """The optimizer's step; left out where a scaled gradient overflowed."""
        self.scaler.step(optimizer)
        self.scaler.update()
