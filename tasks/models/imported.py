"""A model of an installed distribution (torchvision, timm, your own package): a class of torch modules, or a function that makes one.

Options that fetch pretrained weights fetch them each time that the model is built, also when a stored one is read.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.core.errors import ParamsError
from tasks.core.imported import Imported, make

if TYPE_CHECKING:
    from torch import nn


class Settings(Imported):
    # keyword arguments that are handed what the data are, such as `{num_classes: classes, in_chans: channels}`; shape is (C, H, W)
    arguments: dict[str, Literal["classes", "channels", "height", "width", "shape"]] = Field(default={"num_classes": "classes"})


def build(settings: Settings, shape: tuple[int, int, int], classes: int) -> "nn.Module":
    """Make the model, and try it on two black images: (N, C, H, W) to logits (N, K).

    Raises:
        ParamsError: the object cannot be imported, is no model, or does not make logits of such images.
    """
    import torch
    from torch import nn

    channels, height, width = shape
    data = {"classes": classes, "channels": channels, "height": height, "width": width, "shape": shape}
    model: nn.Module = make(settings, nn.Module, **{key: data[value] for key, value in settings.arguments.items()})
    images = torch.zeros(2, *shape)
    training = model.training
    try:
        with torch.no_grad():
            logits = model.eval()(images)
    except Exception as error:
        raise ParamsError(
            f"{settings.import_} does not take images {tuple(images.shape)} (N, C, H, W): {type(error).__name__}: {error}"
        ) from error
    finally:
        model.train(training)
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ParamsError(
            f"{settings.import_} makes {found} of two images; expected logits (2, {classes}): `arguments` says which of its keyword "
            f"arguments is handed the number of classes, and is {settings.arguments}"
        )
    return model
