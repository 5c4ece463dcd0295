"""Mixup: each example is averaged with another one of its batch, and so are the labels (Zhang et al. 2018); against overconfidence."""

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
    """One share and one order of partners per batch, as in the paper's code and in torchvision. Labels are not smoothed besides."""
    from tasks.learning.pairs import draw, soft

    def mix(images: "Tensor", labels: "Tensor", classes: int, generator: "Generator") -> "tuple[Tensor, Tensor]":
        pairs = draw(len(images), settings.alpha, settings.probability, generator)
        partner = pairs.partner.to(images.device)
        return blended(images, images[partner], pairs.share), soft(labels, labels[partner], pairs.share, classes)

    return mix


def blended(images: "Tensor", partners: "Tensor", share: float) -> "Tensor":
    """`share` of the images and the rest of their partners."""
    return images * share + partners * (1 - share)
