"""Negative log-likelihood, in nats, of a model whose outputs are log-probabilities already."""

from typing import TYPE_CHECKING

from tasks.core.settings import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    """No options."""


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """torch's own. For a model that ends in log_softmax; on logits it has no minimum."""
    from torch.nn import functional

    return functional.nll_loss
