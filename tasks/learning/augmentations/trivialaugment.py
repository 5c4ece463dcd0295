"""TrivialAugment: one random operation of random strength on each image (Müller & Hutter 2021, "wide"); nothing to tune."""

from typing import TYPE_CHECKING, Literal

from tasks.core.settings import NotNegative, Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor


class Settings(Section):
    shift_pixels: NotNegative = 32.0  # the largest shift; the paper's, which moves an image of up to 32 pixels out of sight
    interpolation: Literal["nearest", "bilinear"] = "nearest"  # how a warp reads between pixels


def build(settings: Settings) -> "Callable[[Tensor, Generator], Tensor]":
    """The operations and ranges are those of torchvision's TrivialAugmentWide; see `tasks/learning/operations.py`."""
    from tasks.learning import operations

    shift = settings.shift_pixels
    table = operations.amounts(shear=0.99, shift_x=shift, shift_y=shift, degrees=135.0, blend=0.99, bits=6)

    def augment(images: "Tensor", generator: "Generator") -> "Tensor":
        return operations.apply(images, operations.draw(len(images), generator), table, settings.interpolation)

    return augment
