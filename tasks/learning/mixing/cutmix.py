"""CutMix: a rectangle comes from another image, and so does that share of the label (Yun et al. 2019); for photographs."""

from typing import TYPE_CHECKING

from tasks.core.settings import Positive, Probability, Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor


class Settings(Section):
    alpha: Positive = (
        1.0  # the share of the first example is drawn from Beta(alpha, alpha): near 0 or 1 below 1, near 1/2 above
    )
    probability: Probability = 1.0  # share of the batches that are mixed


def build(settings: Settings) -> "Callable[[Tensor, Tensor, int, Generator], tuple[Tensor, Tensor]]":
    """One rectangle and one order of partners per batch, as in the paper's code and in torchvision. Labels are not smoothed besides."""
    from tasks.learning.pairs import draw, soft

    def mix(images: "Tensor", labels: "Tensor", classes: int, generator: "Generator") -> "tuple[Tensor, Tensor]":
        pairs = draw(len(images), settings.alpha, settings.probability, generator)
        partner = pairs.partner.to(images.device)
        height, width = images.shape[-2:]
        box = rectangle(pairs.share, pairs.across, pairs.down, height, width)
        top, bottom, left, right = box
        share = 1 - (bottom - top) * (right - left) / (height * width)
        return pasted(images, images[partner], box), soft(labels, labels[partner], share, classes)

    return mix


def rectangle(share: float, across: float, down: float, height: int, width: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a rectangle with `1 - share` of the area, about a centre (shares of width and height), clipped."""
    half = 0.5 * (1 - share) ** 0.5
    half_height, half_width = int(half * height), int(half * width)
    row, column = int(down * height), int(across * width)
    return (
        max(row - half_height, 0),
        min(row + half_height, height),
        max(column - half_width, 0),
        min(column + half_width, width),
    )


def pasted(images: "Tensor", partners: "Tensor", box: tuple[int, int, int, int]) -> "Tensor":
    """The images, with what lies in the box taken from their partners."""
    top, bottom, left, right = box
    images = images.clone()
    images[..., top:bottom, left:right] = partners[..., top:bottom, left:right]
    return images
