"""Binary cross-entropy of each class on its own, the mean over all (Wightman et al. 2021, section 3.1); suits mixup and cutmix."""

from typing import TYPE_CHECKING

from tasks.core.settings import Fraction, Probability, Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    target_threshold: Probability | None = None  # a share of a class above it counts as 1, any other as 0; null: as it is
    label_smoothing: Fraction = 0.0  # share of the label that is spread evenly over all classes


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """torch's own, on the shares of the classes; they are compared with the threshold first, then smoothed.

    With mixup or cutmix a threshold says of each image all the classes that it shows, as the paper does.
    """
    from torch.nn import functional

    from tasks.learning.targets import shares

    def bce(logits: "Tensor", targets: "Tensor") -> "Tensor":
        there = shares(targets, logits)
        if settings.target_threshold is not None:
            there = (there > settings.target_threshold).to(there.dtype)
        there = there * (1 - settings.label_smoothing) + settings.label_smoothing / logits.shape[1]
        return functional.binary_cross_entropy_with_logits(logits, there)

    return bce
