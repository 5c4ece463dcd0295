"""Squared error against one-hot labels, the mean over examples and classes (the Brier score without the softmax)."""

from typing import TYPE_CHECKING

from tasks.core.settings import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    """No options."""


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """torch's own, on one-hot labels."""
    from torch.nn import functional

    def mse(logits: "Tensor", labels: "Tensor") -> "Tensor":
        return functional.mse_loss(logits, functional.one_hot(labels, logits.shape[1]).to(logits.dtype))

    return mse
