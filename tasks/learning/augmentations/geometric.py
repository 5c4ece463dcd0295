"""Shift, rotation, scale, flips and erased rectangles; for images whose class survives them. A strength of 0 switches one off."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from tasks.core.settings import Fraction, Probability, Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

ATTEMPTS = 10  # rectangles drawn for an image until one fits into it, as in torchvision's RandomErasing
LOG_RATIO = math.log(0.3), math.log(3.3)  # of a rectangle's height to its width (Zhong et al. 2020; torchvision's limits)


class Settings(Section):
    shift: Fraction = 0.1  # the largest shift, as a share of the width and of the height; black moves in
    rotate_degrees: float = Field(ge=0, le=180, default=10.0)  # the largest rotation about the centre, in either direction
    scale: Fraction = 0.1  # the size is multiplied with a factor between 1 - scale and 1 + scale
    flip: Probability = 0.0  # share of the images that are mirrored left to right; not for digits and letters
    flip_vertical: Probability = 0.0  # share of the images that are mirrored top to bottom
    erase: Probability = 0.0  # share of the images in which a rectangle becomes black (random erasing, Zhong et al. 2020)
    erase_smallest: Probability = 0.02  # the smallest rectangle, as a share of the image's area
    erase_largest: Probability = 0.33  # the largest rectangle, as a share of the image's area

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.erase_smallest > self.erase_largest:
            raise ValueError(
                f"erase_smallest: found {self.erase_smallest:g}; expected at most erase_largest, {self.erase_largest:g}"
            )
        return self


@dataclass(frozen=True)
class Drawn:
    """What happens to each example of a batch; every tensor has B rows."""

    shift: "Tensor"  # (B, 2), pixels to the right and down
    angle: "Tensor"  # (B,), clockwise, radians
    scale: "Tensor"  # (B,)
    flip: "Tensor"  # (B,) bool
    flip_vertical: "Tensor"  # (B,) bool
    box: "Tensor"  # (B, 4) int64: top, left, height and width of what is erased; height and width are 0 where nothing is


def build(settings: Settings) -> "Callable[[Tensor, Generator], Tensor]":
    """Flips, then shift, rotation and scale in one bilinear lookup, then erasing."""
    import torch

    from tasks.learning.warping import placement, warp

    moves = settings.shift > 0 or settings.rotate_degrees > 0 or settings.scale > 0

    def augment(images: "Tensor", generator: "Generator") -> "Tensor":
        drawn = draw(settings, images, generator)
        if settings.flip:
            images = torch.where(_each(drawn.flip, images), images.flip(-1), images)
        if settings.flip_vertical:
            images = torch.where(_each(drawn.flip_vertical, images), images.flip(-2), images)
        if moves:  # a lookup at the same place would still round
            images = warp(images, placement(drawn.shift, drawn.angle, drawn.scale), "bilinear")
        if settings.erase:
            images = images.masked_fill(_inside(drawn.box, images), 0.0)
        return images

    return augment


def draw(settings: Settings, images: "Tensor", generator: "Generator") -> Drawn:
    """Draw what happens to each of the images (B, C, H, W).

    As many numbers are drawn whatever the settings are, so that one option leaves what another draws as it was.
    """
    import torch

    height, width = images.shape[-2:]
    unit = torch.rand(len(images), 9 + 2 * ATTEMPTS, generator=generator, device=generator.device, dtype=torch.float64)
    either, shares, areas, ratios = unit[:, :4] * 2 - 1, unit[:, 4:9], unit[:, 9 : 9 + ATTEMPTS], unit[:, 9 + ATTEMPTS :]
    return Drawn(
        shift=either[:, :2] * settings.shift * torch.tensor([width, height], device=unit.device),
        angle=either[:, 2] * math.radians(settings.rotate_degrees),
        scale=1 + either[:, 3] * settings.scale,
        flip=shares[:, 0] < settings.flip,
        flip_vertical=shares[:, 1] < settings.flip_vertical,
        box=_boxes(settings, shares[:, 2:], areas, ratios, (height, width)),
    )


def _boxes(settings: Settings, shares: "Tensor", areas: "Tensor", ratios: "Tensor", size: tuple[int, int]) -> "Tensor":
    """The first rectangle of each row that is smaller than the image, as in torchvision's RandomErasing; none where all are larger."""
    import torch

    height, width = size
    area = height * width * (settings.erase_smallest + areas * (settings.erase_largest - settings.erase_smallest))
    ratio = (LOG_RATIO[0] + ratios * (LOG_RATIO[1] - LOG_RATIO[0])).exp()
    heights, widths = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (heights < height) & (widths < width)
    first = fits.int().argmax(1, keepdim=True)
    happens = (shares[:, 0] < settings.erase) & fits.any(1)
    tall, wide = (sizes.gather(1, first).squeeze(1) * happens for sizes in (heights, widths))
    top, left = (shares[:, 1] * (height - tall + 1)).long(), (shares[:, 2] * (width - wide + 1)).long()
    return torch.stack([top, left, tall, wide], dim=1)


def _inside(box: "Tensor", images: "Tensor") -> "Tensor":
    """Whether a pixel lies in its image's box: (B, 1, H, W) bool."""
    import torch

    top, left, tall, wide = box.to(images.device).view(-1, 4, 1, 1, 1).unbind(1)
    row = torch.arange(images.shape[-2], device=images.device).view(-1, 1)
    column = torch.arange(images.shape[-1], device=images.device)
    return (row >= top) & (row < top + tall) & (column >= left) & (column < left + wide)


def _each(chosen: "Tensor", images: "Tensor") -> "Tensor":
    """One value for each image, in a shape that spreads over its pixels."""
    return chosen.to(images.device).view(-1, 1, 1, 1)
