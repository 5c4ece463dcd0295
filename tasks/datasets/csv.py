"""The user's own images, listed in a table: a CSV file with one line per image, beside the images in one folder.

The table has a column of paths, relative to its folder, and a column of labels; it may have a column of groups (a patient, a camera,
a burst), which never come into two splits, a column that states the split of each row, and columns of metadata (a camera, a site), by
whose values the diagnosis compares the test rows. Images may have any size and mode; `tasks.sources.images` states how they are
decoded, and `preprocess.image` what they become.
"""

import csv
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.metadata import FEWER, too_many_values
from tasks.core.errors import DataError
from tasks.core.settings import Section
from tasks.sources.images import named
from tasks.sources.own_files import copy_images, read_left_out, write_left_out
from tasks.sources.source import Rows, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READS_PATH = True
TABLE, IMAGES = "table.csv", "images"  # in `data/raw`
SPLITS = ("train", "val", "test")


class Settings(Section):
    table: str | None = None  # the file's name; needed only where the folder holds several tables
    path_column: str = "path"  # relative to the table's folder
    label_column: str = "label"  # the name of the image's class
    group_column: str | None = None  # rows of one group never come into two splits
    split_column: str | None = None  # train, val or test; without val (or test) rows, that split is drawn from train
    metadata: list[str] = Field(
        default=[]
    )  # columns, such as [camera, site], by whose values the check slices compares test rows
    skip_unreadable: bool = (
        False  # leave out rows whose file is missing or not a readable image, and count them, rather than stop
    )


class Table:
    """The columns of a table that count, one entry per row; lines are those of the file, for messages."""

    def __init__(self, file: Path, settings: Settings) -> None:
        self.file = file
        rows = _read(file, settings)
        self.lines = [line for line, _ in rows]
        paths = [row[settings.path_column] for _, row in rows]
        self.paths = [str(PurePosixPath(path)) if path else "" for path in paths]  # ./a.png is a.png
        self.labels = [row[settings.label_column] for _, row in rows]
        self.groups = [row[settings.group_column] for _, row in rows] if settings.group_column else []
        self.splits = [row[settings.split_column] for _, row in rows] if settings.split_column else []
        self.metadata = {name: [row[name] for _, row in rows] for name in settings.metadata}


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Check the table and every image that it lists, and copy them.

    Raises:
        DataError: the table or an image is missing, or holds what cannot be learned from; all offences of a kind are named at once.
    """
    table = Table(_found(path, settings), settings)
    check(table)
    left_out = copy_images(path, table.paths, raw / IMAGES, settings.skip_unreadable)
    _rows_of(table, raw, left_out)
    shutil.copyfile(table.file, raw / TABLE)
    write_left_out(raw, left_out)


def load(settings: Settings, raw: Path) -> Source:
    """List the copied images, with what the table says of them.

    Raises:
        ArtifactError: nothing was copied.
        DataError: the copies are no longer as they were written.
    """
    left_out = read_left_out(raw)
    return _rows_of(Table(raw / TABLE, settings), raw, left_out)


def check(table: Table) -> None:
    """Look for what cannot be learned from, before any image is read.

    Raises:
        DataError: an empty cell (other than of metadata), a path that leaves the folder or stands twice, an unknown split, a group in
            two splits, a column of metadata with too many values.
    """
    columns = {"path": table.paths, "label": table.labels, "group": table.groups, "split": table.splits}
    stated = [(name, line, cell) for name, cells in columns.items() for line, cell in zip(table.lines, cells, strict=False)]
    empty = [f"line {line}: no {name}" for name, line, cell in stated if not cell]
    _refuse(table, empty, "lines that lack a value", "expected one in each")
    leaving = [f"line {line}: {path}" for line, path in zip(table.lines, table.paths, strict=True) if _leaves(path)]
    _refuse(
        table,
        leaving,
        "paths that leave the folder of the table",
        "expected paths below it, so that changed images are noticed: move the images there, and state their paths from there",
    )
    twice = [f"{path}: {count} times" for path, count in Counter(table.paths).items() if count > 1]
    _refuse(
        table,
        twice,
        "images that are listed more than once",
        "expected one line per image, or copies could come into two splits",
    )
    unknown = [f"line {line}: {cell!r}" for name, line, cell in stated if name == "split" and cell not in SPLITS]
    _refuse(table, unknown, "lines with an unknown split", f"expected one of {', '.join(SPLITS)}")
    homes: dict[str, set[str]] = defaultdict(set)
    for group, split in zip(table.groups, table.splits, strict=bool(table.groups and table.splits)):
        homes[group].add(split)
    torn = [f"{group}: in {' and '.join(s for s in SPLITS if s in home)}" for group, home in homes.items() if len(home) > 1]
    _refuse(table, torn, "groups in more than one split", "expected each group in one split: correct the split column")
    many = too_many_values(table.metadata)
    _refuse(table, many, "columns of download.dataset.metadata with too many values", f"{FEWER}, or leave the column out")


def _found(path: Path, settings: Settings) -> Path:
    """The table of a folder."""
    if not path.is_dir():
        # Only what lies at download.path is watched: with the file alone, a changed image would go unnoticed.
        found = "is a file" if path.exists() else "is missing"
        raise DataError(f"{path} {found}; expected the folder that holds the table and its images: set download.path to it")
    if settings.table is not None:
        if not (path / settings.table).is_file() or _leaves(settings.table):
            raise DataError(f"{path} has no table {settings.table}; expected it there: correct download.dataset.table")
        return path / settings.table
    tables = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv" and not file.name.startswith("."))
    if len(tables) != 1:
        names = ", ".join(file.name for file in tables) or "none"
        raise DataError(
            f"{path} holds {len(tables)} CSV files ({names}); expected one table: name it in download.dataset.table"
        )
    return tables[0]


def _read(file: Path, settings: Settings) -> list[tuple[int, dict[str, str]]]:
    """The rows with the number of their last line in the file; cells without spaces around them."""
    columns = [settings.path_column, settings.label_column, settings.group_column, settings.split_column, *settings.metadata]
    wanted = [name for name in columns if name is not None]
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened, strict=True)
            header = list(reader.fieldnames or [])
            options = ["path_column", "label_column", "group_column", "split_column", *("metadata" for _ in settings.metadata)]
            lacking = [
                f"{name} (download.dataset.{option})"
                for option, name in zip(options, columns, strict=True)
                if name is not None and name not in header
            ]
            if lacking:
                raise DataError(
                    f"{file} has no column {', '.join(lacking)}, only {', '.join(header) or 'none'}; "
                    "correct the table's first line, or set the option in brackets to the column's name"
                )
            rows = [(reader.line_num, {name: (row[name] or "").strip() for name in wanted}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} is not a CSV table in UTF-8 ({error}); save it again as one, with commas") from None
    if not rows:
        raise DataError(f"{file} has no rows; expected one line per image")
    return rows


def _leaves(path: str) -> bool:
    pure = PurePosixPath(path.replace("\\", "/"))
    return pure.is_absolute() or ".." in pure.parts or ":" in path.partition("/")[0]


def _refuse(table: Table, offences: Sequence[str], found: str, expected: str) -> None:
    if offences:
        raise DataError(f"{table.file}: {found} ({len(offences)}):\n{named(offences)}\n{expected}")


def _rows_of(table: Table, raw: Path, left_out: dict[str, str]) -> Source:
    """The rows that were copied, by split.

    Raises:
        DataError: there are not two classes, or a class has no row to train on.
    """
    import numpy as np

    kept = np.array([number for number, path in enumerate(table.paths) if path not in left_out], dtype=np.int64)
    classes = _in_order({table.labels[number] for number in kept})
    if len(classes) < 2:
        raise DataError(f"{table.file} holds one class only ({', '.join(classes) or 'none'}); expected two or more")
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[table.labels[number]] for number in kept], dtype=np.int64)
    splits = np.array([table.splits[number] if table.splits else "train" for number in kept])
    unseen = [name for name in classes if not np.any(labels[splits == "train"] == numbers[name])]
    if unseen:
        raise DataError(f"{table.file}: no row to train on of class {', '.join(unseen)}; expected one or more of each class")

    parts = {
        split: _part(table, raw, kept[splits == split], labels[splits == split]) for split in SPLITS if np.any(splits == split)
    }
    return Source(
        classes,
        "row of the table",
        parts["train"],
        parts.get("val"),
        parts.get("test"),
        numbered_by_split=False,
        unreadable=len(left_out),
    )


def _part(table: Table, raw: Path, numbers: "NDArray[np.int64]", labels: "NDArray[np.int64]") -> Rows:
    paths = [table.paths[number] for number in numbers]
    groups = [table.groups[number] for number in numbers] if table.groups else []
    metadata = {name: [values[number] for number in numbers] for name, values in table.metadata.items()}
    return Rows([raw / IMAGES / path for path in paths], labels, numbers, paths, groups, metadata)


def _in_order(labels: set[str]) -> list[str]:
    """Sorted; whole numbers by their value."""
    whole = all(label.isdecimal() for label in labels)
    return sorted(labels, key=lambda label: (int(label) if whole else 0, label))
