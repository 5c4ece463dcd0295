"""Saliency: the absolute gradient of the logit, largest over the channels. It shows what a small change would alter.

Simonyan, Vedaldi and Zisserman 2014, Deep Inside Convolutional Networks, section 3.
"""

from typing import TYPE_CHECKING

from tasks.core.settings import Section

if TYPE_CHECKING:
    from torch import Tensor, nn

MEANING = "how strongly a small change of the pixel changes the logit, up or down"
SIGNED = False


class Settings(Section):
    """No options."""


def attribute(settings: Settings, model: "nn.Module", inputs: "Tensor", classes: "Tensor", most: int) -> "Tensor":
    """Heat maps (N, H, W), not negative."""
    from captum.attr import Saliency

    gradients: Tensor = Saliency(model).attribute(inputs.clone().requires_grad_(), target=classes, abs=True)
    return gradients.detach().amax(dim=1)
