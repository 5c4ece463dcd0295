"""Which remedies are tried for a recipe: each is a change of params.yaml, as a person would make it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.core.settings import keys_of, validate

if TYPE_CHECKING:
    from tasks.train import Params, Train

# Where it is decoupled it is multiplied with the learning rate; elsewhere it is added to the gradient, times the weight.
DECOUPLED, ADDED = 0.1, 0.001
DECOUPLE = ("adafactor", "adamw", "lion", "muon", "schedulefree_adamw")  # optimizers; nadam and radam have an option
DROPOUT = 0.5  # Srivastava et al. 2014
STRONGER = 10.0  # times what the recipe has already


@dataclass(frozen=True)
class Trial:
    """A change to try; `unused` says why it cannot be, where that is so."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)  # keys of params.yaml and their values
    unused: str = ""  # in words that follow "because"
    replayed: bool = False  # needs no training of its own: it keeps another epoch of the recipe's

    def as_options(self) -> str:
        """As `goodfit run` takes it."""
        return " ".join(f"-S {key}={_written(value)}" for key, value in self.changes.items())


def remedies(train: "Train") -> list[Trial]:
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


def _weight_decay(train: "Train") -> Trial:
    options = train.optimizer.settings
    decoupled = train.optimizer.name in DECOUPLE or getattr(options, "decoupled_weight_decay", False)
    usual = DECOUPLED if decoupled else ADDED
    own = "weight_decay" in keys_of(type(options))
    found = getattr(options, "weight_decay", train.regularisation.l2)
    key = "train.optimizer.weight_decay" if own else "train.regularisation.l2"
    return Trial("weight decay", {key: STRONGER * found if found >= usual else usual})


def _dropout(train: "Train") -> Trial:
    name = "dropout"
    if name not in keys_of(type(train.model.settings)):
        return Trial(name, unused=f"the model {train.model.name} has no option dropout")
    found = getattr(train.model.settings, name)
    if found >= DROPOUT:
        return Trial(name, unused=f"the recipe has {found:g} already")
    return Trial(name, {"train.model.dropout": DROPOUT})


def _augmentation(train: "Train") -> Trial:
    if train.augmentation.name != "none":
        return Trial("augmentation", unused=f"the recipe has {train.augmentation.name} already")
    return Trial("augmentation", {"train.augmentation": {"name": "geometric"}})


def _early_stopping(train: "Train") -> Trial:
    name = "early stopping"
    if train.early_stopping.enabled:
        return Trial(name, unused="the recipe has it already")
    if not _watches_the_log_loss(train):
        return Trial(name, unused="it would watch the loss of the recipe, of which nothing is kept for each image")
    return Trial(name, {"train.early_stopping.enabled": True}, replayed=True)


def _watches_the_log_loss(train: "Train") -> bool:
    """Whether the validation loss of the recipe is the log-loss, which is kept for each image."""
    options = train.loss.settings.model_dump()
    return train.loss.name == "cross_entropy" and not any(options.values())


def _written(value: Any) -> str:
    """A value on a command line."""
    if isinstance(value, dict):
        return "'{" + ", ".join(f"{key}: {_written(inner)}" for key, inner in value.items()) + "}'"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
