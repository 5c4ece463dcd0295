"""An optimizer of an installed distribution (torch.optim, your own package): a class derived from torch.optim.Optimizer."""

from collections.abc import Iterable
from inspect import Parameter as Argument
from inspect import signature
from typing import TYPE_CHECKING

from tasks.core.errors import ParamsError
from tasks.core.imported import Imported, make
from tasks.learning.learning_rate import LearningRate

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


class Settings(Imported):
    learning_rate: LearningRate = 0.001  # handed over as `lr`


def build(settings: Settings, weights: "Iterable[Parameter]") -> "Optimizer":
    """Make the optimizer.

    Raises:
        ParamsError: the object cannot be imported, is no optimizer, or has steps that need more than gradients.
    """
    from torch import optim

    optimizer: Optimizer = make(settings, optim.Optimizer, list(weights), lr=settings.learning_rate)
    # Of the class: torch wraps the method of the object.
    required = [
        name for name, argument in signature(type(optimizer).step).parameters.items() if argument.default is Argument.empty
    ]
    if len(required) > 1:
        raise ParamsError(
            f"{settings.import_} has a step that needs {', '.join(required[1:])}; expected an optimizer whose step takes the gradients "
            "that a batch has left"
        )
    return optimizer
