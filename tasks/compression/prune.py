"""Pruning by magnitude: hidden units are cut out (Li et al. 2017), or single weights are set to zero (Han et al. 2015).

`units` makes the model really smaller: fewer rows and columns, so fewer bytes and operations. `weights` only sets weights to zero: the
file shrinks where it is stored compressed, and common runtimes still multiply by the zeros.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.core.settings import Positive, Section

if TYPE_CHECKING:
    from torch import nn

    from tasks.exporting.subject import Subject


class Settings(Section):
    amount: float = Field(gt=0, lt=1, default=0.5)  # share that goes: of each hidden layer's units, or of all weights together
    structure: Literal["units", "weights"] = "units"  # whole hidden units are cut out, or weights set to zero
    epochs: int = Field(
        ge=0, le=100_000, default=20
    )  # epochs of training afterwards, on the original's probabilities and the labels
    learning_rate: Positive = 0.001  # learning rate of that training (Adam)


def shrink(settings: Settings, subject: "Subject") -> "nn.Module":
    """A pruned copy of the model.

    Raises:
        ParamsError: `units`, and the model has no hidden units or is no plain sequence of known layers.
        TrainingError: the loss of the training afterwards is not a finite number.
    """
    import copy

    from torch.nn.utils import prune

    from tasks.learning.imitation import Imitation, imitate

    module = copy.deepcopy(subject.module)
    masked = _cut_units(module, settings.amount) if settings.structure == "units" else _mask_weights(module, settings.amount)
    if settings.epochs:
        training = Imitation(settings.epochs, learning_rate=settings.learning_rate)
        imitate(module, subject.train_logits(), subject.train, subject.prepare, training=training, seed=subject.seed)
    for layer in masked:  # while it trained, the mask kept the zeros
        prune.remove(layer, "weight")
    return module.eval()


def _mask_weights(module: "nn.Module", amount: float) -> "list[nn.Module]":
    """Mask the smallest weights of all layers together, biases left alone; return the masked layers."""
    from torch import nn
    from torch.nn.utils import prune

    layers: list[nn.Module] = [
        layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    prune.global_unstructured([(layer, "weight") for layer in layers], pruning_method=prune.L1Unstructured, amount=amount)
    return layers


def _cut_units(module: "nn.Module", amount: float) -> "list[nn.Module]":
    """Cut the units with the smallest weights out of every hidden layer, in place; nothing stays masked."""
    from tasks.exporting.chain import hidden_layers

    for hidden in hidden_layers(module):  # from the first to the last, each by the weights that are left
        units = hidden.layer.weight.shape[0]
        hidden.cut(hidden.smallest(min(round(amount * units), units - 1)))
    return []
