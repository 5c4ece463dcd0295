"""Focal loss: cross-entropy that counts examples less the surer the model is of them (Lin et al. 2017, eq. 4); for rare classes."""

from typing import TYPE_CHECKING

from tasks.core.settings import NotNegative, Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    gamma: NotNegative = 2.0  # 0 is cross-entropy; the larger, the less an example counts whose class is predicted surely


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """The mean of `(1 - p)^gamma * -log p`, where p is the softmax probability of the true class."""
    from torch.nn import functional

    def focal(logits: "Tensor", labels: "Tensor") -> "Tensor":
        loss = functional.cross_entropy(logits, labels, reduction="none")
        return ((1 - (-loss).exp()) ** settings.gamma * loss).mean()

    return focal
