"""What `preprocess` hands on: three splits, read as memory-mapped tensors, and what is known of the dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from tasks.contracts.errors import ArtifactError
from tasks.contracts.files import missing, read_text, repair, whole, write_json

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
    """Write tensors or arrays: the same values give the same bytes."""
    import numpy as np
    from safetensors.numpy import save_file

    parts = {"images": split.images, "labels": split.labels, "rows": split.rows}
    with whole(root / FOLDER / f"{name}.safetensors") as temporary:
        # safetensors writes an array's memory as it lies, whatever its strides.
        save_file({key: np.ascontiguousarray(np.asarray(part)) for key, part in parts.items()}, temporary)


def read_split(root: Path, name: SplitName) -> Split:
    """Memory-map a split: bytes are read when they are used.

    Raises:
        ArtifactError: the file is missing, damaged or lacks a tensor.
    """
    from safetensors import SafetensorError, safe_open

    path = root / FOLDER / f"{name}.safetensors"
    if not path.exists():
        raise missing(path, "preprocess")
    try:
        with safe_open(path, framework="pt") as file:
            return Split(*(file.get_tensor(key) for key in ("images", "labels", "rows")))
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}): {repair('preprocess')}") from None


def write_dataset(root: Path, dataset: Dataset) -> None:
    write_json(root / FOLDER / "dataset.json", dataset.model_dump(mode="json"))


def read_dataset(root: Path) -> Dataset:
    return Dataset.model_validate_json(read_text(root / FOLDER / "dataset.json", "preprocess"))
