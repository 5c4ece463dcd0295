"""Cross-entropy, in nats: the softmax's negative log-likelihood (Bishop 2006, section 4.3.4); the default choice."""

from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Fraction, Positive, Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    label_smoothing: Fraction = 0.0  # share of the label that is spread evenly over all classes (Szegedy et al. 2016)
    class_weights: list[Positive] | None = Field(min_length=2, default=None)  # loss weight of each class; null: all 1


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """torch's own; with class weights the mean over labels is weighted too, that over soft targets is divided by the examples alone.

    Raises:
        ParamsError: when it is called, if there are not as many weights as classes.
    """
    import torch
    from torch.nn import functional

    from tasks.core.errors import ParamsError

    if settings.class_weights is None:
        return partial(functional.cross_entropy, label_smoothing=settings.label_smoothing)
    weights = torch.tensor(settings.class_weights)

    def weighted(logits: "Tensor", targets: "Tensor") -> "Tensor":
        if len(weights) != logits.shape[1]:
            raise ParamsError(
                f"train.loss.class_weights: found {len(weights)} weights; expected one for each of the {logits.shape[1]} classes"
            )
        return functional.cross_entropy(logits, targets, weights.to(logits.device), label_smoothing=settings.label_smoothing)

    return weighted
