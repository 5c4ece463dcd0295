"""Rows: which rows of the source a model was trained on, and in which split a row or a file is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lineage.history import lock_at
from flows.lineage.lock import LOCK_FILE, Locked, read_lock
from flows.lineage.objects import Objects
from flows.lineage.printed import cell, escaped, table
from tasks.contracts.splits import FOLDER, ROWS, SPLITS, Dataset
from tasks.core.errors import GoodfitError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

TRAIN, PREPROCESS = "train", "preprocess"
FILES: dict[str, str] = {split: (FOLDER / f"{split}.safetensors").as_posix() for split in SPLITS}
DATASET = (FOLDER / "dataset.json").as_posix()
DOES = {"train": "trained the model", "val": "chose its epoch", "test": "measured it"}


@dataclass(frozen=True)
class Splits:
    """The rows of each split that a training belongs to.

    `numbers` (N,) int64 by split; `names` is the table split, row, path, group where the source has files, else empty; `counted` says
    what the numbers count.
    """

    revision: str
    numbers: "dict[str, NDArray[np.int64]]"
    names: "pd.DataFrame"
    counted: str
    md5: dict[str, str]  # of each split's file


def rows(root: Path = Path(), revision: str | None = None) -> "pd.DataFrame":
    """Every row that the recorded training was given, one line for each: split, row, path, group.

    `row` is the row's number in the source's own order; path and group are empty where the source has no files.

    Args:
        root: the repository.
        revision: a commit, branch, tag or one of DVC's experiments; None for what dvc.lock records here.

    Raises:
        GoodfitError: there is no such revision, it records no training, or DVC's cache lacks the splits.
    """
    import pandas as pd

    found = read_splits(root, revision)
    if len(found.names):
        return found.names
    parts = [pd.DataFrame({"split": split, "row": numbers}) for split, numbers in found.numbers.items()]
    return pd.concat(parts, ignore_index=True).assign(path="", group="")


def read_splits(root: Path, revision: str | None = None) -> Splits:
    """The splits of the recorded training, from DVC's cache or, where their bytes are the same, from the working tree.

    Raises:
        GoodfitError: as `rows`.
    """
    lock = lock_at(root, revision) if revision is not None else read_lock(root)
    named = revision or "the working tree"
    if TRAIN not in lock or FILES["train"] not in lock[TRAIN].deps:
        raise GoodfitError(f"{LOCK_FILE} of {named} records no training: `dvc repro train` or `goodfit run train`")
    return splits_of(Objects(root), lock, named)


def splits_of(objects: Objects, lock: Mapping[str, Locked], revision: str) -> Splits:
    """The splits of the training in a dvc.lock.

    Raises:
        GoodfitError: DVC's cache lacks them, or the training read others than the stage before it wrote.
    """
    read, wrote = lock[TRAIN].deps, lock[PREPROCESS].outs if PREPROCESS in lock else {}
    stale = [path for path in (FILES["train"], FILES["val"]) if read.get(path) != wrote.get(path)]
    if stale:
        raise GoodfitError(
            f"the training that {revision} records read another {' and '.join(stale)} than the stage {PREPROCESS} has written since: "
            "`dvc repro train` trains on that one"
        )
    numbers = {split: row_numbers(objects.needed(wrote[path], path)) for split, path in FILES.items() if path in wrote}
    md5 = {split: wrote[path] for split, path in FILES.items() if path in wrote}
    return Splits(revision, numbers, _names(objects, wrote), _counted(objects, wrote), md5)


def row_numbers(file: Path) -> "NDArray[np.int64]":
    """The tensor `rows` of a split, (N,) int64; its images are not read.

    Raises:
        GoodfitError: it is no such file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            found: NDArray[np.int64] = tensors.get_tensor("rows")
            return found
    except SafetensorError as error:
        raise _not_as_written(file, error) from None


def _counted(objects: Objects, wrote: Mapping[str, str]) -> str:
    if DATASET not in wrote:
        return ""
    file = objects.needed(wrote[DATASET], DATASET)
    try:
        return Dataset.model_validate_json(file.read_bytes()).rows
    except ValueError as error:
        raise _not_as_written(file, error) from None


def _names(objects: Objects, wrote: Mapping[str, str]) -> "pd.DataFrame":
    import pandas as pd

    columns = ["split", "row", "path", "group"]
    path = ROWS.as_posix()
    if path not in wrote:
        return pd.DataFrame(columns=columns)
    file = objects.needed(wrote[path], path)
    # By their place, as a column of the user's metadata may be called "group" too. A folder may be called "NA".
    text = {"split": str, "path": str, "group": str}
    try:
        return pd.read_csv(file, usecols=range(len(columns)), dtype=text, keep_default_na=False)
    except ValueError as error:
        raise _not_as_written(file, error) from None


def _not_as_written(file: Path, error: Exception) -> GoodfitError:
    said = str(error).partition("\n")[0]
    return GoodfitError(f"{file} is not as {PREPROCESS} writes it ({said}): `dvc repro -f {PREPROCESS}`")


@dataclass(frozen=True)
class Membership:
    """The splits in which a row or a file is; none where it is in no split."""

    splits: list[str]
    row: int | None  # None where no row has the name
    path: str
    group: str

    @property
    def trained(self) -> bool:
        return "train" in self.splits


def locate_row(splits: Splits, row: int) -> list[Membership]:
    """A row by its number. Where the source numbers each of its splits anew, several rows may have it."""
    named = splits.names[splits.names["row"] == row]
    if len(named):
        return _members(named)
    inside = [split for split, numbers in splits.numbers.items() if (numbers == row).any()]
    return [Membership([split], row, "", "") for split in inside] or [Membership([], row, "", "")]


def locate_file(splits: Splits, name: str) -> list[Membership]:
    """A file of the source by its path within the user's folder, or by the end of that path.

    Raises:
        GoodfitError: the source has no files.
    """
    if not len(splits.names):
        raise GoodfitError(
            f"the source of {splits.revision} has no files, only rows ({splits.counted}): ask for one with --row"
        )
    plain = name.replace("\\", "/").removeprefix("./")
    paths = splits.names["path"]
    found = splits.names[(paths == plain) | paths.str.endswith(f"/{plain}")]
    if not len(found):  # given from elsewhere, such as data/source/cat/1.png for cat/1.png
        found = splits.names[[bool(path) and plain.endswith(f"/{path}") for path in paths]]
    return _members(found) or [Membership([], None, name, "")]


def _members(found: "pd.DataFrame") -> list[Membership]:
    return [
        Membership([str(one["split"])], int(one["row"]), str(one["path"]), str(one["group"]))
        for one in found.to_dict("records")
    ]


def as_json(splits: Splits, asked: list[Membership] | None) -> dict[str, Any]:
    """The answer, or without a question every row number of each split."""
    head = {"revision": splits.revision, "rows": splits.counted, "md5": splits.md5}
    if asked is None:
        return head | {"splits": {split: numbers.tolist() for split, numbers in splits.numbers.items()}}
    return head | {"trained": any(one.trained for one in asked), "found": [vars(one) for one in asked]}


def as_table(splits: Splits) -> Any:
    """How many rows each split has (a rich.table.Table)."""
    made = table("split", "rows", "share", "what they did", "md5", right=("rows", "share"))
    total = sum(len(numbers) for numbers in splits.numbers.values())
    for split, numbers in splits.numbers.items():
        share = f"{100 * len(numbers) / total:.1f} %" if total else ""
        made.add_row(split, str(len(numbers)), share, DOES[split] if len(numbers) else "", cell(splits.md5[split][:12]))
    return made


def sentence(splits: Splits, asked: Membership) -> str:
    """Where the row is, in words."""
    row = f"row {asked.row}" if asked.row is not None else ""
    path = escaped(asked.path)
    what = f"{row} ({path})" if row and path else row or path
    group = f", of the group {escaped(asked.group)}" if asked.group else ""
    if not asked.splits:
        return f"{what} is in no split of {splits.revision}"
    (split,) = asked.splits
    return f"{what}{group} was in {split}, which {DOES[split]}"
