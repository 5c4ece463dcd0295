"""A small convolutional network."""

from itertools import pairwise

from torch import nn

from tasks.contracts.errors import DataError
from tasks.contracts.params.train import Cnn


def build(settings: Cnn, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """3x3 convolution, ReLU and 2x2 max-pool a channel width, then two linear layers: (N, C, H, W) to logits (N, K).

    Raises:
        DataError: the image is too small to be halved once for each width.
    """
    channels, height, width = shape
    halvings = len(settings.channels)
    height, width = height >> halvings, width >> halvings
    if min(height, width) < 1:
        raise DataError(
            f"an image of {shape[1]}x{shape[2]} pixels cannot be halved {halvings} times; "
            f"expected at least {2**halvings}x{2**halvings}: give train.model.cnn.channels fewer widths"
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
