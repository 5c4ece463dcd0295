"""A multi-layer perceptron."""

import math
from itertools import pairwise

from torch import nn

from tasks.contracts.params.train import Mlp


def build(settings: Mlp, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Flatten, then Linear-ReLU-Dropout a hidden width, then one layer: (N, C, H, W) to logits (N, K)."""
    widths = [math.prod(shape), *settings.hidden]
    hidden = [
        layer
        for narrow, wide in pairwise(widths)
        for layer in (nn.Linear(narrow, wide), nn.ReLU(), nn.Dropout(settings.dropout))
    ]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(widths[-1], classes))
