"""A small convolutional network (LeCun et al. 1998): 3x3 convolutions, each followed by max-pooling; for small images."""

from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.errors import DataError
from tasks.core.settings import Fraction, Section, Width

if TYPE_CHECKING:
    from torch import nn


class Settings(Section):
    channels: list[Width] = Field(min_length=1, max_length=8, default=[16, 32])  # output channels of the 3x3 convolutions
    hidden: Width = 64  # width of the hidden layer
    dropout: Fraction = 0.0  # share of hidden units that are dropped in training


def build(settings: Settings, shape: tuple[int, int, int], classes: int) -> "nn.Module":
    """A 3x3 convolution, ReLU and 2x2 max-pool for each entry of `channels`, then two linear layers: (N, C, H, W) to logits (N, K).

    Raises:
        DataError: the image is too small to be halved once for each convolution.
    """
    from torch import nn

    channels, height, width = shape
    halvings = len(settings.channels)
    height, width = height >> halvings, width >> halvings
    if min(height, width) < 1:
        raise DataError(
            f"an image of {shape[1]}x{shape[2]} pixels cannot be halved {halvings} times; "
            f"expected at least {2**halvings}x{2**halvings}: give train.model.channels fewer widths"
        )
    convolutions = [
        layer
        for narrow, wide in pairwise([channels, *settings.channels])
        for layer in (nn.Conv2d(narrow, wide, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    ]
    return nn.Sequential(
        *convolutions,
        nn.Flatten(),
        nn.Linear(settings.channels[-1] * height * width, settings.hidden),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden, classes),
    )
