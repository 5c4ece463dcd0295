"""Squared error of the logits against one-hot or soft targets, the mean over examples and classes (Hui & Belkin 2021)."""

from typing import TYPE_CHECKING

from tasks.core.settings import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    """No options."""


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """torch's own, on the shares of the classes."""
    from torch.nn import functional

    from tasks.learning.targets import shares

    def mse(logits: "Tensor", targets: "Tensor") -> "Tensor":
        return functional.mse_loss(logits, shares(targets, logits))

    return mse
