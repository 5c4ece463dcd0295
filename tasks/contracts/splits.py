"""What `preprocess` hands on: three splits, read as memory-mapped tensors, and what is known of the dataset."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.errors import ArtifactError
from tasks.core.files import expecting, missing, read_text, repair, whole, write_json
from tasks.core.tensors import map_tensors, write_tensors

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor

FOLDER = Path("data/processed")
# One line per row, in the order of the splits, where the source has files; only the header where not. Columns of metadata follow, if
# there are any.
ROWS = FOLDER / "rows.csv"
ROW_COLUMNS = ("split", "row", "path", "group")
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
    resize: Literal["crop", "pad", "stretch"] | None = (
        None  # how images were brought to `shape`; written where a size was stated
    )
    wrong_labels: int = 0  # training labels that were replaced on purpose, for a study; written where there are any
    unreadable: int = 0  # files that were left out because they cannot be read; written where there are any


def write_split(root: Path, name: SplitName, split: Split | Arrays) -> None:
    write_tensors(root / FOLDER / f"{name}.safetensors", {"images": split.images, "labels": split.labels, "rows": split.rows})


def stream_split(
    root: Path,
    name: SplitName,
    *,
    shape: tuple[int, int, int],
    batches: "Iterable[NDArray[np.uint8]]",
    labels: "NDArray[np.int64]",
    rows: "NDArray[np.int64]",
) -> None:
    """Write the bytes of `write_split`, one batch of images after the other, so that no more than one is held in memory.

    The safetensors format: the header's length in 8 bytes, the header as JSON, the tensors one after the other, the widest types first.

    Args:
        root: the repository.
        name: which split.
        shape: (C, H, W) of every image.
        batches: of images (n, C, H, W) uint8; as many images as there are labels.
        labels: (N,) int64.
        rows: (N,) int64.
    """
    import numpy as np

    n, (channels, height, width) = len(labels), shape
    header, start = {}, 0
    for key, kind, dimensions, size in (
        ("labels", "I64", [n], 8 * n),
        ("rows", "I64", [n], 8 * n),
        ("images", "U8", [n, *shape], n * channels * height * width),
    ):
        header[key] = {"dtype": kind, "shape": dimensions, "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with whole(root / FOLDER / f"{name}.safetensors") as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for column in (labels, rows):
            file.write(column.astype("<i8").tobytes())
        for batch in batches:
            file.write(np.ascontiguousarray(batch).data)


def read_split(root: Path, name: SplitName) -> Split:
    """Map a split's file into memory for reading: what is used is read, and counts as the file's cache, not as memory of the process.

    The tensors must not be written to: the operating system ends a process that tries. A clone can be.

    Raises:
        ArtifactError: the file is missing, damaged or lacks a tensor.
    """
    path = root / FOLDER / f"{name}.safetensors"
    with expecting(path, "preprocess"):
        return Split(**map_tensors(path, "preprocess"))


def write_dataset(root: Path, dataset: Dataset) -> None:
    write_json(root / FOLDER / "dataset.json", dataset.model_dump(mode="json", exclude_defaults=True))


def read_dataset(root: Path) -> Dataset:
    """Read what is known of the dataset.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    path = root / FOLDER / "dataset.json"
    with expecting(path, "preprocess"):
        return Dataset.model_validate_json(read_text(path, "preprocess"))


def write_rows(root: Path, lines: Iterable[tuple[str | int, ...]], metadata: Sequence[str] = ()) -> None:
    """Write split, row number, path, group and the named columns of metadata of every row whose source has files."""
    with whole(root / ROWS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*ROW_COLUMNS, *metadata))
        writer.writerows(lines)


def read_rows(root: Path) -> "pd.DataFrame":
    """The table of rows without their metadata: split, row, path and group; empty where the source has no files.

    A path is relative to the user's folder.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    import pandas as pd

    if not (root / ROWS).exists():
        raise missing(root / ROWS, "preprocess")
    with expecting(root / ROWS, "preprocess"):
        # A folder may be called "NA".
        text = {"split": str, "path": str, "group": str}
        return pd.read_csv(root / ROWS, usecols=range(len(ROW_COLUMNS)), dtype=text, keep_default_na=False)


def read_metadata(root: Path, split: SplitName, count: int) -> "dict[str, NDArray[np.str_]]":
    """The metadata of a split of `count` rows, by column: (count,) in the order of the split. Empty where the source has none.

    Raises:
        ArtifactError: the table of rows is missing or damaged, or belongs to other splits.
    """
    import numpy as np
    import pandas as pd

    if not (root / ROWS).exists():
        raise missing(root / ROWS, "preprocess")
    with expecting(root / ROWS, "preprocess"):
        # Columns are found by their place, as one of the user's may be called "group" too.
        header = pd.read_csv(root / ROWS, header=None, nrows=1, dtype=str, keep_default_na=False)
        names = header.iloc[0, len(ROW_COLUMNS) :].tolist()
        if not names:
            return {}
        table = pd.read_csv(root / ROWS, dtype=str, keep_default_na=False)
    own = table[table["split"] == split]
    if len(own) != count:
        raise ArtifactError(
            f"{root / ROWS} has {len(own)} rows of {split}, and the split itself {count}; expected as many: {repair('preprocess')}"
        )
    return {name: own.iloc[:, place].to_numpy(dtype=np.str_) for place, name in enumerate(names, len(ROW_COLUMNS))}
