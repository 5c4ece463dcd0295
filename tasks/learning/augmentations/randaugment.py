"""RandAugment: a few random operations, one after the other, all of the same strength (Cubuk et al. 2020); for colour photographs."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor


class Settings(Section):
    num_ops: int = Field(ge=0, le=14, default=2)  # operations on each image
    magnitude: int = Field(ge=0, le=30, default=9)  # their strength: 0 does nothing, 30 is the strongest
    interpolation: Literal["nearest", "bilinear"] = "nearest"  # how a warp reads between pixels


def build(settings: Settings) -> "Callable[[Tensor, Generator], Tensor]":
    """The operations and ranges are those of torchvision's RandAugment; see `tasks/learning/operations.py`.

    Autocontrast and equalize have no strength: they act at magnitude 0 too.
    """
    from tasks.learning import operations

    def augment(images: "Tensor", generator: "Generator") -> "Tensor":
        height, width = images.shape[-2:]
        table = operations.amounts(
            shear=0.3, shift_x=150 / 331 * width, shift_y=150 / 331 * height, degrees=30.0, blend=0.9, bits=4
        )
        for _ in range(settings.num_ops):
            drawn = operations.draw(len(images), generator, settings.magnitude)
            images = operations.apply(images, drawn, table, settings.interpolation)
        return images

    return augment
