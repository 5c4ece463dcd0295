"""A linear classifier: multinomial logistic regression when trained on cross-entropy."""

import math

from torch import nn


def build(_: None, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Flatten, then one layer: (N, C, H, W) to logits (N, K)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))
