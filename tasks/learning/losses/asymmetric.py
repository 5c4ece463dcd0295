"""Asymmetric loss: binary, forgiving easy negatives (Ridnik et al. 2021, eq. 7); for many classes or several labels."""

from typing import TYPE_CHECKING

from tasks.core.settings import Fraction, NotNegative, Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    gamma_negative: NotNegative = 4.0  # the larger, the less a wrong class counts whose probability is small
    gamma_positive: NotNegative = 1.0  # the same for the true class whose probability is large
    clip: Fraction = 0.05  # probabilities of wrong classes below this count nothing


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """The sum over classes, the mean over examples, of the sigmoid probabilities against one-hot labels or soft targets.

    A class with a share counts as true by its share and as wrong by the rest.
    """
    import torch
    from torch.nn import functional

    from tasks.learning.targets import precise, shares

    def asymmetric(logits: "Tensor", targets: "Tensor") -> "Tensor":
        logits = precise(logits)
        true = shares(targets, logits)
        positive = logits.sigmoid()
        negative = (1 - positive + settings.clip).clamp(max=1)
        # Not exactly 0, where the derivative of a power below 1 is infinite.
        least = torch.finfo(logits.dtype).tiny
        as_true = (1 - positive).clamp(min=least) ** settings.gamma_positive * functional.logsigmoid(logits)
        as_wrong = (1 - negative).clamp(min=least) ** settings.gamma_negative * negative.clamp(min=1e-8).log()
        return -(true * as_true + (1 - true) * as_wrong).sum(1).mean()

    return asymmetric
