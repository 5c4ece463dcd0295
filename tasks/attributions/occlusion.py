"""Occlusion: how far the logit falls when a square of the image is emptied, averaged over the squares that cover a pixel.

Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks, section 4.2.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from torch import Tensor, nn

MEANING = "how far the logit falls when the square around the pixel is emptied"
SIGNED = True
Share = Annotated[float, Field(gt=0, le=1)]


class Settings(Section):
    window: Share = 0.25  # side of the window, as a share of the image's height and width
    stride: Share = 0.5  # how far the window moves, as a share of its side


def attribute(settings: Settings, model: "nn.Module", inputs: "Tensor", classes: "Tensor", most: int) -> "Tensor":
    """Heat maps (N, H, W); a square is emptied in all channels at once."""
    import torch
    from captum.attr import Occlusion

    channels, *sides = inputs.shape[1:]
    window = [max(1, round(settings.window * side)) for side in sides]
    stride = [max(1, round(settings.stride * side)) for side in window]
    with torch.inference_mode():
        falls: Tensor = Occlusion(model).attribute(
            inputs,
            sliding_window_shapes=(channels, *window),
            strides=(channels, *stride),
            baselines=0.0,
            target=classes,
            perturbations_per_eval=max(1, most // len(inputs)),
        )
    return falls.mean(dim=1)  # the same in every channel
