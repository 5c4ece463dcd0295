"""Cross-entropy, in nats: the negative log-likelihood of the softmax."""

from typing import TYPE_CHECKING

from tasks.core.settings import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Section):
    """No options."""


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """torch's own."""
    from torch.nn import functional

    return functional.cross_entropy
