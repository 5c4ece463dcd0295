"""Convolutions with kernels of any size, in the manner of LeNet-5 (LeCun et al. 1998); learns MNIST's digits in one epoch."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.core.errors import DataError
from tasks.core.settings import Section, Width

if TYPE_CHECKING:
    from torch import nn

Kernel = Annotated[int, Field(ge=1, le=31)]


class Settings(Section):
    channels: list[Width] = Field(min_length=1, max_length=8, default=[24, 32])  # output channels of the convolutions
    kernels: list[Kernel] = Field(
        min_length=1, max_length=8, default=[5, 3]
    )  # sides of the convolutions in pixels, one for each
    # "same": zeros around the image keep its size; "valid": as in LeNet-5, the kernel stays within the image, which shrinks.
    padding: Literal["same", "valid"] = "same"
    hidden: Width = 256  # width of the hidden layer

    @model_validator(mode="after")
    def kernels_fit_the_convolutions(self) -> Self:
        if len(self.channels) != len(self.kernels):
            raise ValueError(
                f"kernels has {len(self.kernels)} entries and channels {len(self.channels)}; expected as many, one for each convolution"
            )
        if self.padding == "same" and any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError(f"kernels is {self.kernels}; expected odd numbers with padding same, or padding valid")
        return self


def build(settings: Settings, shape: tuple[int, int, int], classes: int) -> "nn.Module":
    """A convolution, 2x2 max-pool and ReLU for each entry of `channels`, then two linear layers: (N, C, H, W) to logits (N, K).

    ReLU after the max-pool gives the same values as before it, from a quarter of the work.

    Raises:
        DataError: the image is too small for the convolutions.
    """
    from torch import nn

    channels, height, width = shape
    convolutions: list[nn.Module] = []
    for (narrow, wide), kernel in zip(pairwise([channels, *settings.channels]), settings.kernels, strict=True):
        convolutions += [nn.Conv2d(narrow, wide, kernel, padding=settings.padding), nn.MaxPool2d(2), nn.ReLU()]
        height, width = (_halved(side, kernel, settings.padding) for side in (height, width))
        if min(height, width) < 1:
            raise DataError(
                f"an image of {shape[1]}x{shape[2]} pixels is too small for kernels of {settings.kernels} pixels, each followed by a "
                "2x2 max-pool: choose padding same, or give train.model.channels and train.model.kernels fewer entries"
            )
    return nn.Sequential(
        *convolutions,
        nn.Flatten(),
        nn.Linear(settings.channels[-1] * height * width, settings.hidden),
        nn.ReLU(),
        nn.Linear(settings.hidden, classes),
    )


def _halved(side: int, kernel: int, padding: str) -> int:
    """The pixels along a side after a convolution and a 2x2 max-pool; below 1 where the kernel or the pool does not fit."""
    return (side if padding == "same" else side - kernel + 1) // 2
