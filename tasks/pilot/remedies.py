"""Which remedies are tried for a recipe: each is a change of params.yaml, as a person would make it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.core.settings import keys_of, validate

if TYPE_CHECKING:
    from tasks.train import Params, Train

WEIGHT_DECAY = 0.1  # decoupled: it is multiplied with the learning rate
L2 = 0.001
DROPOUT = 0.5  # Srivastava et al. 2014
STRONGER = 10.0  # times what the recipe has already


@dataclass(frozen=True)
class Remedy:
    """A change to try; `unused` says why it cannot be, where that is so."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)  # keys of params.yaml and their values
    unused: str = ""
    replayed: bool = False  # needs no training of its own: it keeps another epoch of the recipe's

    def as_options(self) -> str:
        """As `goodfit run` and `dvc exp run` take it."""
        return " ".join(f"-S {key}={_written(value)}" for key, value in self.changes.items())


def remedies(train: "Train") -> list[Remedy]:
    """Weight decay, dropout, augmentation and early stopping, as the recipe allows."""
    return [_weight_decay(train), _dropout(train), _augmentation(train), _early_stopping(train)]


def changed(params: "Params", changes: dict[str, Any]) -> "Params":
    """The parameters with some of them changed, checked as params.yaml is.

    Raises:
        ParamsError: the changed parameters are not valid.
    """
    document = params.model_dump(mode="json")
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = document
        for section in sections:
            place = place[section]
        place[last] = value
    return validate(type(params), document)


def _weight_decay(train: "Train") -> Remedy:
    decay = getattr(train.optimizer.settings, "weight_decay", None)
    if decay is not None:
        return Remedy(
            "weight decay", {"train.optimizer.weight_decay": STRONGER * decay if decay >= WEIGHT_DECAY else WEIGHT_DECAY}
        )
    l2 = train.regularisation.l2
    return Remedy("weight decay", {"train.regularisation.l2": STRONGER * l2 if l2 >= L2 else L2})


def _dropout(train: "Train") -> Remedy:
    name = "dropout"
    if name not in keys_of(type(train.model.settings)):
        return Remedy(name, unused=f"the model {train.model.name} has no option dropout")
    found = getattr(train.model.settings, name)
    if found >= DROPOUT:
        return Remedy(name, unused=f"the recipe has {found:g} already")
    return Remedy(name, {"train.model.dropout": DROPOUT})


def _augmentation(train: "Train") -> Remedy:
    if train.augmentation.name != "none":
        return Remedy("augmentation", unused=f"the recipe has {train.augmentation.name} already")
    return Remedy("augmentation", {"train.augmentation": {"name": "geometric"}})


def _early_stopping(train: "Train") -> Remedy:
    name = "early stopping"
    if train.early_stopping.enabled:
        return Remedy(name, unused="the recipe has it already")
    return Remedy(name, {"train.early_stopping.enabled": True}, replayed=True)


def _written(value: Any) -> str:
    """A value on a command line."""
    if isinstance(value, dict):
        return "'{" + ", ".join(f"{key}: {_written(inner)}" for key, inner in value.items()) + "}'"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
