"""What `preprocess` hands on: three splits, read as memory-mapped tensors, and what is known of the dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.files import expecting, read_text, write_json
from tasks.core.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

FOLDER = Path("data/processed")
SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Rows of the source.

    Shapes: images (N, C, H, W) uint8, labels (N,) int64, rows (N,) int64: the row's number in the source's own order.
    """

    images: "Tensor"
    labels: "Tensor"
    rows: "Tensor"

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Arrays:
    """A `Split` in numpy, for the stage that writes it: importing torch takes longer than splitting the digits."""

    images: "NDArray[np.uint8]"
    labels: "NDArray[np.int64]"
    rows: "NDArray[np.int64]"


class Dataset(BaseModel):
    """`dataset.json`: what a model and a reader must know of the data. Statistics are of train only, in units of [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    classes: list[str]
    shape: tuple[int, int, int]  # C, H, W
    counts: dict[SplitName, list[int]]  # rows a class, in the order of `classes`
    mean: list[float]  # per channel
    deviation: list[float]  # per channel
    rows: str  # what the row numbers count


def write_split(root: Path, name: SplitName, split: Split | Arrays) -> None:
    write_tensors(root / FOLDER / f"{name}.safetensors", {"images": split.images, "labels": split.labels, "rows": split.rows})


def read_split(root: Path, name: SplitName) -> Split:
    """Memory-map a split: bytes are read when they are used.

    Raises:
        ArtifactError: the file is missing, damaged or lacks a tensor.
    """
    path = root / FOLDER / f"{name}.safetensors"
    with expecting(path, "preprocess"):
        return Split(**read_tensors(path, "preprocess"))


def write_dataset(root: Path, dataset: Dataset) -> None:
    write_json(root / FOLDER / "dataset.json", dataset.model_dump(mode="json"))


def read_dataset(root: Path) -> Dataset:
    """Read what is known of the dataset.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    path = root / FOLDER / "dataset.json"
    with expecting(path, "preprocess"):
        return Dataset.model_validate_json(read_text(path, "preprocess"))
