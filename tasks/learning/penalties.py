"""Penalties on the weights, added to the loss."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Penalty = Callable[[], Tensor]


def build(l1: float, l2: float, model: nn.Module) -> Penalty | None:
    """`l1 * sum|w| + l2/2 * sum w²` over all weights but the biases; None where both are 0.

    Biases are vectors and are left out: shrinking them moves the decision without making it simpler (Hastie et al. 2009, 3.4.1).
    """
    if l1 == 0 and l2 == 0:
        return None
    weights = [weight for weight in model.parameters() if weight.ndim > 1]

    def penalty() -> Tensor:
        absolute = torch.stack([weight.abs().sum() for weight in weights]).sum()
        squared = torch.stack([weight.square().sum() for weight in weights]).sum()
        return l1 * absolute + l2 / 2 * squared

    return penalty
