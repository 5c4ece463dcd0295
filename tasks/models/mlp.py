"""A multi-layer perceptron (Rumelhart et al. 1986): fully connected layers; for small images and for features without a layout."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Fraction, Section, Width

if TYPE_CHECKING:
    from torch import nn


class Settings(Section):
    hidden: list[Width] = Field(default=[64])  # widths of the hidden layers
    dropout: Fraction = 0.0  # share of hidden units that are dropped in training


def build(settings: Settings, shape: tuple[int, int, int], classes: int) -> "nn.Module":
    """Flatten, then Linear, ReLU and Dropout for each hidden width, then one layer: (N, C, H, W) to logits (N, K)."""
    from torch import nn

    widths = [math.prod(shape), *settings.hidden]
    hidden = [
        layer
        for narrow, wide in pairwise(widths)
        for layer in (nn.Linear(narrow, wide), nn.ReLU(), nn.Dropout(settings.dropout))
    ]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(widths[-1], classes))
