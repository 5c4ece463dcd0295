"""The nearest images in a large set, also of an image that was shifted by a pixel.

Two steps, so that not every pixel of every pair is looked at. Candidates are found by the magnitudes of the lowest spatial
frequencies: a cyclic shift only turns the phases of the Fourier coefficients (Oppenheim & Schafer 2010, section 8.6), and by Parseval's
theorem the distance of the magnitudes is at most that of the pixels, so that a copy is always near. The distances that are
returned are those of the pixels.

Batches of images are compared side by side, by a few threads: NumPy computes without Python's lock. Each batch is computed in
the same way whatever the number of threads, so the results are the same too.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.cores import cores
from tasks.statistics.arrays import Floats, Ints

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FREQUENCIES = 5  # along each axis, in either direction, and 0
KEPT = 16  # candidates of each image
GROUP = 16  # rows whose best candidate stands for them in the first pass
BATCH = 256  # images that a thread compares at a time: bounds its memory to a few times BATCH * rows / GROUP numbers
MOST_THREADS = 4  # bounds the memory where there are many cores
PAIRED = 32  # images whose candidates are looked at pixel by pixel at a time
SHIFTED_FROM = 16  # pixels along a side; in smaller images a shift by a pixel makes another picture
FEW_PIXELS = 256  # values


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest rows of each image, nearest first: distance (N, K), root mean square in grey levels, and their positions (N, K)."""

    distance: Floats
    position: Ints


def nearest(images: "NDArray[np.uint8]", among: "NDArray[np.uint8]", keep: int = KEPT) -> Neighbours:
    """The `keep` nearest of `among` (M, C, H, W) for each of images (N, C, H, W), at most M.

    A distance is the smallest under shifts by up to one pixel in each direction (none where a side has fewer than 16 pixels).
    All but the nearest may be found too far away, as only candidates are compared: on MNIST the second distance
    is exact in the median, and 4 % too large for one image in ten.

    Cost: N · M · 132 operations per channel of float32 in matrix products. 10,000 test images of MNIST among 60,000 need about 3 s of
    one core, and 1.5 s on two.
    """
    keep = min(keep, len(among))
    known, asked = spectra(among), spectra(images)
    middle = known.mean(axis=0)
    position = _candidates(asked - middle, known - middle, keep)
    distance = _distances(images, among, position)
    order = np.argsort(distance, axis=1, kind="stable")
    return Neighbours(np.take_along_axis(distance, order, 1), np.take_along_axis(position, order, 1))


def spectra(images: "NDArray[np.uint8]") -> "NDArray[np.float32]":
    """Magnitudes of the lowest Fourier coefficients of images (N, C, H, W): (N, features) float32, in the unit of the pixels.

    Of images with few pixels, which are not compared under shifts, the pixels themselves.
    """
    height, width = images.shape[2:]
    if min(height, width) < SHIFTED_FROM and images[:1].size <= FEW_PIXELS:
        return images.reshape(len(images), -1).astype(np.float32)
    down = np.arange(-min(FREQUENCIES, (height - 1) // 2), min(FREQUENCIES, (height - 1) // 2) + 1)
    across = np.arange(min(FREQUENCIES, (width - 1) // 2) + 1)
    rows = np.exp(-2j * np.pi * np.outer(down, np.arange(height)) / height).astype(np.complex64)
    columns = np.exp(-2j * np.pi * np.outer(np.arange(width), across) / width).astype(np.complex64)
    # Of a real picture, each coefficient off the middle column stands for its conjugate too.
    weight = (np.where(across > 0, np.sqrt(2), 1) / np.sqrt(height * width)).astype(np.float32)
    found = np.empty((len(images), images.shape[1] * len(down) * len(across)), dtype=np.float32)
    for start in range(0, len(images), 4 * BATCH):
        pixels = images[start : start + 4 * BATCH].astype(np.float32)
        lowest = pixels @ columns.real + 1j * (pixels @ columns.imag)
        found[start : start + 4 * BATCH] = (np.abs(rows @ lowest) * weight).reshape(len(pixels), -1)
    return found


def _candidates(asked: "NDArray[np.float32]", known: "NDArray[np.float32]", keep: int) -> Ints:
    """Positions (N, keep) of the rows of known (M, F) nearest to each row of asked (N, F), in no order.

    Row g of the groups holds the rows g, g + G, g + 2G, … of `known`. The `keep` nearest rows lie in the `keep` groups with the
    nearest best row, so only those groups are looked at row by row.
    """
    groups = max(keep, -(-len(known) // GROUP))
    half = np.full((GROUP * groups, 1), np.inf, dtype=np.float32)
    half[: len(known), 0] = (known**2).sum(axis=1) / 2
    members = np.zeros((GROUP * groups, known.shape[1]), dtype=np.float32)
    members[: len(known)] = known

    def of(start: int) -> Ints:
        batch = asked[start : start + BATCH]
        chosen = np.argpartition(_best(batch, members, half, groups), keep - 1, axis=1)[:, :keep]
        rows = (chosen[:, :, None] + groups * np.arange(GROUP)).reshape(len(batch), -1)
        score = half[rows, 0] - np.matmul(members[rows], batch[:, :, None])[:, :, 0]
        best = np.argpartition(score, keep - 1, axis=1)[:, :keep]
        return np.take_along_axis(rows, best, 1)

    return np.concatenate([np.empty((0, keep), dtype=np.int64), *_side_by_side(of, range(0, len(asked), BATCH))])


def _best(
    batch: "NDArray[np.float32]", members: "NDArray[np.float32]", half: "NDArray[np.float32]", groups: int
) -> "NDArray[np.float32]":
    """Half the squared distance to the nearest row of each group, less half the squared length of the image: (n, groups)."""
    best = np.empty((len(batch), groups), dtype=np.float32)
    for first in range(0, groups, 4 * BATCH):
        part = best[:, first : first + 4 * BATCH]
        part[:] = np.inf
        for offset in range(first, len(members), groups):
            rows = slice(offset, offset + part.shape[1])
            np.minimum(part, half[rows, 0] - batch @ members[rows].T, out=part)
    return best


def _distances(images: "NDArray[np.uint8]", among: "NDArray[np.uint8]", position: Ints) -> Floats:
    """Root mean square differences (N, K) of images (N, C, H, W) and the rows at position (N, K) of `among`.

    The middle of an image is compared with the nine windows of its size in the other, so that every shift counts as many pixels.
    All windows at once, by one matrix product: Σ (a - b)² = Σ a² + Σ b² - 2 Σ ab. Every sum is one of whole numbers below 2^53 in
    float64, so the products are exact, in whatever order they are added: copies have the distance 0.
    """
    _, channels, height, width = images.shape
    shifts = 3 if min(height, width) >= SHIFTED_FROM else 1
    tall, wide, edge = height - shifts + 1, width - shifts + 1, shifts // 2
    windows = [np.s_[..., top : top + tall, left : left + wide] for top, left in product(range(shifts), repeat=2)]
    covered = _in_windows(np.ones((1, channels, tall, wide)), windows, (height, width))[0]

    def of(start: int) -> Floats:
        ours = images[start : start + PAIRED, :, edge : edge + tall, edge : edge + wide].astype(np.float64)
        chosen = among[position[start : start + PAIRED]].astype(np.float64)
        theirs = chosen.reshape(*chosen.shape[:2], -1)
        squares = theirs**2 @ covered - 2 * theirs @ _in_windows(ours, windows, (height, width))
        nearest_window = squares.min(axis=2) + (ours**2).sum(axis=(1, 2, 3))[:, None]
        distance: Floats = np.sqrt(nearest_window / (channels * tall * wide))
        return distance

    return np.concatenate([np.empty((0, position.shape[1])), *_side_by_side(of, range(0, len(images), PAIRED))])


def _side_by_side(of: "Callable[[int], NDArray[Any]]", starts: range) -> "list[NDArray[Any]]":
    """What `of` returns for the batch that begins at each of the starts, in their order."""
    with ThreadPoolExecutor(min(cores(), MOST_THREADS)) as pool:
        return list(pool.map(of, starts))


def _in_windows(pictures: "Floats", windows: list[Any], size: tuple[int, int]) -> "Floats":
    """Pictures (n, C, h, w) laid into each of W windows of an empty one of that size: (n, C * H * W, W)."""
    placed = np.zeros((len(pictures), len(windows), pictures.shape[1], *size))
    for number, window in enumerate(windows):
        placed[:, number][window] = pictures
    return placed.reshape(len(pictures), len(windows), -1).transpose(0, 2, 1)
