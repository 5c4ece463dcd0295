"""Smaller pictures for the checks that compare pixels, so that their cost doesn't grow with the size of the images."""

from typing import TYPE_CHECKING

import numpy as np

from tasks.statistics.arrays import Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32  # pixels; of MNIST and CIFAR every pixel is kept


def pooled(images: "NDArray[np.uint8]", rows: "Ints") -> "NDArray[np.uint8]":
    """The images at rows (n,) of (N, C, H, W) with at most 32 pixels along each side, as means over equal blocks.

    The pixels at the right and lower edge that fill no whole block are left out.
    """
    _, channels, height, width = images.shape
    down, across = -(-height // SIDE), -(-width // SIDE)
    if down == across == 1:
        return images[rows]
    tall, wide = height // down, width // across
    small = np.empty((len(rows), channels, tall, wide), dtype=np.uint8)
    for position, row in enumerate(rows):  # one by one, so that no second copy of large images is held in memory
        blocks = images[row, :, : tall * down, : wide * across].reshape(channels, tall, down, wide, across)
        small[position] = np.rint(blocks.mean(axis=(2, 4)))
    return small
