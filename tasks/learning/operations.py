"""The operations of RandAugment and TrivialAugment, each on a batch of images (B, C, H, W) in [0, 1] with a level per example.

Names, levels and arithmetic are torchvision's, where they are functions of one image and one number. What differs:

- Level 0 of an operation that has levels leaves the image as it is, to the bit. In torchvision level 0 of Solarize inverts white.
- Posterize and Equalize round to the 256 levels of a byte, as they do on the images of bytes for which they were made.
- Three channels are taken as red, green and blue. Images with any other number, grey ones among them, have no colour: Color leaves
  them as they are, as torchvision does with grey ones, and Contrast blends with the mean over all of their channels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as image_functions

from tasks.learning.warping import placement, warp

LEVELS = 31  # from 0, which does nothing, to the strongest
Amounts = dict[str, Tensor | None]  # by operation: the amount at each of the LEVELS; None where it has no strength


@dataclass(frozen=True)
class Drawn:
    """The operation (its number in the order of `amounts`), the level and the direction, 1 or -1, of each example: (B,) int64."""

    operation: Tensor
    level: Tensor
    direction: Tensor


def amounts(*, shear: float, shift_x: float, shift_y: float, degrees: float, blend: float, bits: int) -> Amounts:
    """The amount at each level of every operation, where the last level has the one given.

    `shear` is a slope, shifts are in pixels, `blend` is a share, `bits` are those of a byte that Posterize takes away.
    """

    def up_to(largest: float) -> Tensor:
        return torch.linspace(0.0, largest, LEVELS)

    return {
        "Identity": None,
        "ShearX": up_to(shear),
        "ShearY": up_to(shear),
        "TranslateX": up_to(shift_x),
        "TranslateY": up_to(shift_y),
        "Rotate": up_to(degrees),
        "Brightness": up_to(blend),
        "Color": up_to(blend),
        "Contrast": up_to(blend),
        "Sharpness": up_to(blend),
        "Posterize": (8 - torch.arange(LEVELS) / ((LEVELS - 1) / bits)).round(),
        "Solarize": torch.linspace(1.0, 0.0, LEVELS),
        "AutoContrast": None,
        "Equalize": None,
    }


NAMES = tuple(amounts(shear=0, shift_x=0, shift_y=0, degrees=0, blend=0, bits=1))
WITHOUT_DIRECTION = {"Posterize", "Solarize"}


def draw(rows: int, generator: Generator, level: int | None = None) -> Drawn:
    """Draw an operation, a direction and, unless it is given, a level for each of `rows` examples."""

    def whole(below: int) -> Tensor:
        return torch.randint(below, (rows,), generator=generator, device=generator.device)

    operation, direction = whole(len(NAMES)), whole(2) * 2 - 1
    return Drawn(operation, whole(LEVELS) if level is None else torch.full_like(operation, level), direction)


def apply(images: Tensor, drawn: Drawn, table: Amounts, interpolation: str) -> Tensor:
    """Do to each image what was drawn for it; the images of one operation are worked on together."""
    changed = images.clone()
    for number, (name, by_level) in enumerate(table.items()):
        chosen = drawn.operation == number
        if by_level is not None:
            chosen = chosen & (drawn.level > 0)
        rows = chosen.nonzero().squeeze(1)
        if name == "Identity" or not len(rows):
            continue
        amount = torch.zeros(len(rows)) if by_level is None else by_level[drawn.level[rows].cpu()]
        if name not in WITHOUT_DIRECTION:
            amount = amount * drawn.direction[rows].cpu()
        rows = rows.to(images.device)
        changed[rows] = _done(name, images[rows], amount.to(images.device), interpolation)
    return changed


def _done(name: str, images: Tensor, amount: Tensor, interpolation: str) -> Tensor:
    """One operation on images (B, C, H, W) by amounts (B,)."""
    if name in WARPS:
        height, width = images.shape[-2:]
        return warp(images, WARPS[name](amount.double(), height, width), interpolation)
    return POINTWISE[name](images, amount.view(-1, 1, 1, 1))


def _shear_x(slope: Tensor, height: int, width: int) -> Tensor:
    """Rows move in proportion to their distance from the top edge, as torchvision's do."""
    matrices = _unmoved(slope)
    matrices[:, 0, 1], matrices[:, 0, 2] = slope, slope * height / 2
    return matrices


def _shear_y(slope: Tensor, height: int, width: int) -> Tensor:
    matrices = _unmoved(slope)
    matrices[:, 1, 0], matrices[:, 1, 2] = slope, slope * width / 2
    return matrices


def _shift_x(pixels: Tensor, height: int, width: int) -> Tensor:
    """By whole pixels, as torchvision does."""
    matrices = _unmoved(pixels)
    matrices[:, 0, 2] = -pixels.trunc()
    return matrices


def _shift_y(pixels: Tensor, height: int, width: int) -> Tensor:
    matrices = _unmoved(pixels)
    matrices[:, 1, 2] = -pixels.trunc()
    return matrices


def _rotate(degrees: Tensor, height: int, width: int) -> Tensor:
    """Counter-clockwise, as torchvision does."""
    return placement(shift=torch.zeros_like(degrees).expand(2, -1).T, angle=-degrees.deg2rad(), scale=torch.ones_like(degrees))


def _unmoved(amount: Tensor) -> Tensor:
    return torch.eye(2, 3, dtype=amount.dtype, device=amount.device).repeat(len(amount), 1, 1)


def _brightness(images: Tensor, amount: Tensor) -> Tensor:
    return (images * (1 + amount)).clamp(0, 1)


def _colour(images: Tensor, amount: Tensor) -> Tensor:
    return _blend(images, _grey(images), amount) if images.shape[1] == 3 else images


def _contrast(images: Tensor, amount: Tensor) -> Tensor:
    grey = _grey(images) if images.shape[1] == 3 else images
    return _blend(images, grey.mean((1, 2, 3), keepdim=True), amount)


def _sharpness(images: Tensor, amount: Tensor) -> Tensor:
    """Blend with a blurred copy; the outermost pixels stay, as torchvision's do."""
    channels, height, width = images.shape[1:]
    if min(height, width) < 3:
        return images
    kernel = images.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]).div(13).expand(channels, 1, 3, 3)
    blurred = images.clone()
    blurred[..., 1:-1, 1:-1] = functional.conv2d(images, kernel, groups=channels)
    return _blend(images, blurred, amount)


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    step = 2 ** (8 - bits)
    return (images * 255).round().div(step).floor().mul(step).div(255)


def _solarize(images: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(images >= threshold, 1 - images, images)


def _auto_contrast(images: Tensor, amount: Tensor) -> Tensor:
    return _channel_by_channel(image_functions.autocontrast, images)


def _equalize(images: Tensor, amount: Tensor) -> Tensor:
    return _channel_by_channel(image_functions.equalize, images)


def _channel_by_channel(operation: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """torchvision's own, which takes one channel or three: these two operations do not mix channels."""
    return operation(images.flatten(0, 1).unsqueeze(1)).view_as(images)


def _grey(images: Tensor) -> Tensor:
    weights = images.new_tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)  # of red, green and blue (ITU-R BT.601)
    return (images * weights).sum(1, keepdim=True)


def _blend(images: Tensor, other: Tensor, amount: Tensor) -> Tensor:
    """The other image at amount -1, the image itself at 0, beyond it above 0."""
    return (images + (images - other) * amount).clamp(0, 1)


WARPS = {"ShearX": _shear_x, "ShearY": _shear_y, "TranslateX": _shift_x, "TranslateY": _shift_y, "Rotate": _rotate}
POINTWISE = {
    "Brightness": _brightness,
    "Color": _colour,
    "Contrast": _contrast,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _auto_contrast,
    "Equalize": _equalize,
}
