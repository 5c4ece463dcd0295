"""Integrated gradients: the logit's difference to that of an empty image, shared out among the pixels.

Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks, section 3. The values of a heat map add up to the difference.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from torch import Tensor, nn

MEANING = "the pixel's share of the difference between the logit of the image and that of an empty one"
SIGNED = True


class Settings(Section):
    steps: int = Field(ge=2, le=1000, default=50)  # points of the Gauss-Legendre rule between the empty image and the image


def attribute(settings: Settings, model: "nn.Module", inputs: "Tensor", classes: "Tensor", most: int) -> "Tensor":
    """Heat maps (N, H, W), summed over the channels."""
    from captum.attr import IntegratedGradients

    shares: Tensor = IntegratedGradients(model).attribute(
        inputs.clone().requires_grad_(),
        baselines=0.0,
        target=classes,
        n_steps=settings.steps,
        internal_batch_size=max(most, len(inputs)),
    )
    return shares.detach().sum(dim=1).to(inputs.dtype)  # captum adds the steps up in float64
