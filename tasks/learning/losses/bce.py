"""Binary cross-entropy of each class on its own, the mean over examples and classes (Wightman et al. 2021, "ResNet strikes back")."""

from typing import TYPE_CHECKING

from tasks.core.settings import Fraction, Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    label_smoothing: Fraction = 0.0  # share of the label that is spread evenly over all classes


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """torch's own, on one-hot labels."""
    from torch.nn import functional

    def bce(logits: "Tensor", labels: "Tensor") -> "Tensor":
        classes = logits.shape[1]
        targets = functional.one_hot(labels, classes).to(logits.dtype)
        targets = targets * (1 - settings.label_smoothing) + settings.label_smoothing / classes
        return functional.binary_cross_entropy_with_logits(logits, targets)

    return bce
