"""What `train` hands on: weights, the model that they belong to, the history per epoch and the dynamics per example."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.core.components import Choice, Component
from tasks.core.errors import ArtifactError
from tasks.core.files import expecting, missing, read_text, repair, whole, write_json
from tasks.core.settings import offences
from tasks.core.tensors import read_arrays, read_tensors, write_tensors

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor

WEIGHTS = Path("models/model.safetensors")
MODEL = Path("models/model.json")
HISTORY = Path("results/history.csv")
DYNAMICS = Path("results/dynamics.safetensors")


class TrainedModel(BaseModel):
    """`model.json`: enough to build the module that the weights belong to, and to feed it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model: Annotated[Choice, Component("tasks.models")]  # its name and all of its options
    shape: tuple[int, int, int]  # C, H, W of an image
    classes: list[str]
    mean: list[float]  # per channel, in units of [0, 1]: subtracted from the image
    deviation: list[float]  # per channel: divided by
    resize: Literal["crop", "pad", "stretch"] | None = None  # how images were brought to `shape`; None: they all had that size
    epochs: int = 0  # run
    chosen_epoch: int = 0  # whose weights these are, counted from 1
    chosen_by: str = ""  # "last epoch" or "lowest val_loss"


@dataclass(frozen=True)
class Epoch:
    """A row of `results/history.csv`.

    Losses are those of `train.loss` (cross_entropy: in nats), accuracies lie in [0, 1]. Both are measured in evaluation mode after
    the epoch, those of train on the recorded subset. `last_batch_loss` is the loss of the last step in the epoch (training mode,
    without penalties). Without a validation split its columns are empty.
    """

    epoch: int
    step: int
    learning_rate: float
    last_batch_loss: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None


@dataclass(frozen=True)
class RangeTest:
    """How `learning_rate: auto` became a number: the rate of each step of the range test, and the smoothed loss there.

    The losses have the unit of `train.loss`; `chosen` is the learning rate that was trained with.
    """

    rates: list[float]
    losses: list[float]
    chosen: float


@dataclass(frozen=True)
class Dynamics:
    """What each epoch predicted for each recorded example, in a few numbers: the size does not grow with the number of classes.

    Shapes: train_index (M,) int64, positions in the train split; margin, loss (E, M) float16 and correct (E, M) bool: the logit of
    the true class minus the largest other, cross-entropy in nats, and whether it was predicted. For all of val, as
    `tasks.statistics.answers` computes them: val_half (V,) bool; val_loss, val_scaled_loss (E, V) float64; val_correct (E, V) bool.
    Where the learning rate was `auto`, its range test of S steps: range_test_rates, range_test_losses (S,) float64, and
    range_test_chosen (1,) float64. batch_classes (2,) float64: how many classes a batch of the first ten epochs held on average,
    and how many it would hold in random order; None where there were fewer than two batches.
    """

    train_index: "Tensor"
    margin: "Tensor"
    loss: "Tensor"
    correct: "Tensor"
    val_half: "Tensor"
    val_loss: "Tensor"
    val_scaled_loss: "Tensor"
    val_correct: "Tensor"
    range_test_rates: "Tensor | None" = None
    range_test_losses: "Tensor | None" = None
    range_test_chosen: "Tensor | None" = None
    batch_classes: "Tensor | None" = None


def write_history(root: Path, epochs: Iterable[Epoch]) -> None:
    """Write one row per epoch; floats are written so that they read back exactly."""
    with whole(root / HISTORY) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Epoch))
        writer.writerows(astuple(epoch) for epoch in epochs)


def read_history(root: Path) -> "pd.DataFrame":
    """The history as a table with the columns of `Epoch`.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    import pandas as pd

    if not (root / HISTORY).exists():
        raise missing(root / HISTORY, "train")
    with expecting(root / HISTORY, "train"):
        return pd.read_csv(root / HISTORY)


def write_model(root: Path, model: TrainedModel, weights: "dict[str, Tensor]") -> None:
    write_tensors(root / WEIGHTS, weights)
    write_json(root / MODEL, model.model_dump(mode="json"))


def read_model(root: Path) -> "tuple[TrainedModel, dict[str, Tensor]]":
    """The description and the weights; `tasks.learning.inference.rebuild` makes the module of them.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    return read_description(root), read_tensors(root / WEIGHTS, "train")


def read_description(root: Path) -> TrainedModel:
    """`model.json` alone.

    Raises:
        ArtifactError: the file is missing or damaged, or what it was trained with is not installed.
    """
    with expecting(root / MODEL, "train"):
        try:
            return TrainedModel.model_validate_json(read_text(root / MODEL, "train"))
        except ValidationError as error:
            if all(detail["type"] != "component" for detail in error.errors()):
                raise
            reason = "; ".join(offences(error, TrainedModel))
            raise ArtifactError(
                f"{root / MODEL} names a model that cannot be built here ({reason}): {repair('train')}"
            ) from None


def write_dynamics(root: Path, dynamics: Dynamics) -> None:
    tensors = {field.name: getattr(dynamics, field.name) for field in fields(Dynamics)}
    write_tensors(root / DYNAMICS, {name: tensor for name, tensor in tensors.items() if tensor is not None})


def read_dynamics(root: Path) -> Dynamics:
    """Read the dynamics.

    Raises:
        ArtifactError: the file is missing, damaged or lacks a tensor.
    """
    with expecting(root / DYNAMICS, "train"):
        return Dynamics(**read_tensors(root / DYNAMICS, "train"))


def read_margins(root: Path) -> "tuple[NDArray[np.int64], NDArray[np.float16]]":
    """Positions in train (M,) of the recorded examples, and their margins (E, M) after each epoch; read without torch.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    found = read_arrays(root / DYNAMICS, "train", ("train_index", "margin"))
    return found["train_index"], found["margin"]


def read_range_test(root: Path) -> RangeTest | None:
    """The range test of the learning rate, read without torch; None where the rate was a number.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    found = read_arrays(root / DYNAMICS, "train", ("range_test_rates", "range_test_losses", "range_test_chosen"), optional=True)
    if not found:
        return None
    with expecting(root / DYNAMICS, "train"):
        rates, losses, chosen = (array.tolist() for array in found.values())
        return RangeTest(rates, losses, *chosen)
