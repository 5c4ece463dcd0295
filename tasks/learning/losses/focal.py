"""Focal loss: cross-entropy that counts examples less the surer the model is of them (Lin et al. 2017, eq. 4); for rare classes."""

from typing import TYPE_CHECKING

from tasks.core.settings import NotNegative, Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    gamma: NotNegative = 2.0  # 0 is cross-entropy; the larger, the less an example counts whose class is predicted surely


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """The mean of `(1 - p)^gamma * -log p`, where p is the softmax probability of the true class.

    With soft targets the mean is over the classes of an example too, weighted by their shares.
    """
    import torch
    from torch.nn import functional

    from tasks.learning.targets import precise

    def focal(logits: "Tensor", targets: "Tensor") -> "Tensor":
        soft = targets.is_floating_point()
        loss = -precise(logits).log_softmax(1) if soft else functional.cross_entropy(logits, targets, reduction="none")
        # Not exactly 0, where the derivative of a power below 1 is infinite.
        unsure = (1 - (-loss).exp()).clamp(min=torch.finfo(loss.dtype).tiny)
        focused = unsure**settings.gamma * loss
        return (focused * targets).sum(1).mean() if soft else focused.mean()

    return focal
