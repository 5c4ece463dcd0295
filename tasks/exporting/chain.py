"""Hidden units of a model that is a plain sequence of layers, and how to cut them out."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.core.errors import ParamsError

Weighted = nn.Linear | nn.Conv2d
# Each gives as many channels as it gets, and treats every channel alike.
INDIFFERENT = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid, nn.Identity,
    nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten,
)  # fmt: skip
Normalising = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True)
class Hidden:
    """A layer whose units are hidden, what normalises them, and the layer that reads them."""

    layer: Weighted
    normalising: list[Normalising]
    reader: Weighted

    def smallest(self, number: int) -> Tensor:
        """Positions of the units with the smallest incoming weights, by their L1 norm (Li et al. 2017, section 3.1)."""
        return self.layer.weight.detach().abs().flatten(1).sum(dim=1).argsort(stable=True)[:number]

    def cut(self, units: Tensor) -> None:
        """Remove these units (positions): rows of the layer, the columns that read them, and what normalises them."""
        kept = torch.ones(self.layer.weight.shape[0], dtype=torch.bool)
        kept[units] = False
        inputs = self.reader.weight.shape[1] // len(kept)  # several for each channel where an image was flattened
        columns = kept.repeat_interleave(inputs)
        for owner, name, rows in (
            (self.layer, "weight", kept),
            (self.layer, "bias", kept),
            *((norm, name, kept) for norm in self.normalising for name in ("weight", "bias", "running_mean", "running_var")),
        ):
            _keep(owner, name, rows)
        self.reader.weight = nn.Parameter(self.reader.weight.detach()[:, columns].clone())
        _resize(self.layer, outputs=int(kept.sum()))
        _resize(self.reader, inputs=int(columns.sum()))
        for norm in self.normalising:
            norm.num_features = int(kept.sum())


def hidden_layers(module: nn.Module) -> list[Hidden]:
    """The hidden layers of a sequence, from the first to the last.

    Raises:
        ParamsError: the module is no sequence of layers that are known here, or has no hidden layer.
    """
    advice = "choose {name: prune, structure: weights}, quantize or distill"
    found: list[Hidden] = []
    layer: Weighted | None = None
    normalising: list[Normalising] = []
    for part in _sequence(module):
        if isinstance(part, nn.Linear | nn.Conv2d) and getattr(part, "groups", 1) == 1:
            if layer is not None:
                found.append(Hidden(layer, normalising, part))
            layer, normalising = part, []
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            normalising.append(part)
        elif not isinstance(part, INDIFFERENT):
            raise ParamsError(
                f"compress.methods: prune with structure units: found a layer {type(part).__name__}; expected a plain sequence of "
                f"linear, convolutional, pooling and activation layers; {advice}"
            )
    if not found:
        raise ParamsError(f"compress.methods: prune with structure units: the model has no hidden units to cut out; {advice}")
    return found


def _sequence(module: nn.Module) -> list[nn.Module]:
    """The layers of nested sequences, in order."""
    if isinstance(module, nn.Sequential):
        return [part for child in module for part in _sequence(child)]
    return [module]


def _keep(owner: nn.Module, name: str, rows: Tensor) -> None:
    """Keep these rows of a parameter or buffer, where the module has it."""
    tensor = getattr(owner, name)
    if tensor is None:
        return
    kept = tensor.detach()[rows].clone()
    setattr(owner, name, nn.Parameter(kept) if isinstance(tensor, nn.Parameter) else kept)


def _resize(layer: Weighted, inputs: int | None = None, outputs: int | None = None) -> None:
    """Let the layer say how large it is now."""
    inner, outer = ("in_features", "out_features") if isinstance(layer, nn.Linear) else ("in_channels", "out_channels")
    if inputs is not None:
        setattr(layer, inner, inputs)
    if outputs is not None:
        setattr(layer, outer, outputs)
