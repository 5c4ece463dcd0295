"""ResNet-18, torchvision's, trained from scratch (He et al. 2016); for photographs and other images with rich detail.
Batch normalisation learns badly from tiny batches: choose a batch size that leaves at least four examples for the last one of an epoch.
"""

from typing import TYPE_CHECKING, Literal

from tasks.core.settings import Fraction, Section

if TYPE_CHECKING:
    from torch import nn


class Settings(Section):
    # "imagenet": torchvision's, which begins by reducing both sides to a quarter; "small": a 3x3 convolution that reduces nothing, for
    # images below about 64x64 pixels.
    stem: Literal["imagenet", "small"] = "imagenet"
    stochastic_depth: Fraction = (
        0.0  # probability that training skips the last block for an image; it grows linearly from the first
    )


def build(settings: Settings, shape: tuple[int, int, int], classes: int) -> "nn.Module":
    """torchvision's, with a first layer for the channels of the images: (N, C, H, W) to logits (N, K). No weights are downloaded.

    `stochastic_depth` is 1 minus the paper's last survival probability (Huang et al. 2016, eq. 4), drawn for each image.
    """
    from torch import nn
    from torchvision.models import resnet18

    from tasks.learning.normalisation import BatchNorm

    model: nn.Module = resnet18(weights=None, num_classes=classes, norm_layer=BatchNorm)
    small = settings.stem == "small"
    if small:
        model.maxpool = nn.Identity()
    if small or shape[0] != 3:
        size, stride = (3, 1) if small else (7, 2)
        model.conv1 = nn.Conv2d(shape[0], 64, size, stride, padding=size // 2, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    if settings.stochastic_depth:
        _skip_blocks(model, settings.stochastic_depth)
    return model


def _skip_blocks(model: "nn.Module", rate: float) -> None:
    """Let training leave out what a block adds to its input, with a probability that reaches `rate` in the last block."""
    from torch import nn
    from torchvision.models.resnet import BasicBlock
    from torchvision.ops import StochasticDepth

    blocks = [module for module in model.modules() if isinstance(module, BasicBlock)]
    for number, block in enumerate(blocks, start=1):
        block.bn2 = nn.Sequential(block.bn2, StochasticDepth(rate * number / len(blocks), mode="row"))
