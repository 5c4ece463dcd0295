"""A loss of an installed distribution (torch.nn, your own package): a class of torch modules, or a function that returns a tensor."""

from functools import partial
from typing import TYPE_CHECKING, Literal

from tasks.core.errors import ParamsError
from tasks.core.imported import Imported, make, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Settings(Imported):
    targets: Literal["labels", "one_hot"] = "labels"  # what it is handed: class numbers (N,), or zeros and ones like the logits


def build(settings: Settings) -> "Callable[[Tensor, Tensor], Tensor]":
    """The loss of logits (N, K) and targets, class numbers (N,) or shares of classes (N, K), checked in each call.

    Raises:
        ParamsError: the object cannot be imported, is no loss, or has weights of its own; in a call: it does not take these tensors,
            or returns something else than one number.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    found = resolve(settings, nn.Module, torch.Tensor)
    if isinstance(found, type):
        module: nn.Module = make(settings, nn.Module)
        if any(True for _ in module.parameters()):
            raise ParamsError(f"{settings.import_} has weights of its own, which would not be trained; expected a loss without")
        inner: Callable[[Tensor, Tensor], object] = module
    else:
        inner = partial(found, **settings.options)

    def loss(logits: "Tensor", targets: "Tensor") -> "Tensor":
        if settings.targets == "one_hot" and targets.ndim == 1:
            targets = functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
        try:
            value = inner(logits, targets)
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            if type(error) not in (TypeError, ValueError, IndexError, RuntimeError):  # torch's own: memory, tracing
                raise
            raise ParamsError(
                f"{settings.import_} does not take logits {tuple(logits.shape)} and targets {tuple(targets.shape)} {targets.dtype} "
                f"(targets: {settings.targets}): {type(error).__name__}: {error}"
            ) from error
        if not isinstance(value, torch.Tensor) or value.ndim != 0 or not value.is_floating_point():
            shown = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
            raise ParamsError(f"{settings.import_} returned {shown}; expected one number, the mean over the batch")
        return value

    return loss
