"""One answer per example, and where it was recorded per epoch: tables of probabilities, logits, or losses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.metadata import FEWER, too_many_values
from tasks.core.errors import DataError
from tasks.statistics.arrays import Bools, Floats, Ints
from tasks.statistics.calibration import log_losses

PROBABILITY, LOGIT = "probability_", "logit_"
SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 counts as this one: a log-loss of 87 nats
EXPECTED = (
    "row, label, and probability_0, probability_1, … (or logit_0, logit_1, …, or loss in nats with correct); and epoch where the "
    "answers of every epoch are given"
)


@dataclass(frozen=True, eq=False)
class Records:
    """The answers on one split.

    Shapes: rows, labels (N,); logits (E, N, K), or None; loss in nats and correct (E, N), or None where only labels were given.
    `epochs` (E,) are as the file counts them, or None where the table has the answers of one model only: E is 1 then. `kind` says
    which columns were found. `metadata` has the values (N,) of the columns that were named as such.
    """

    kind: str
    epochs: Floats | None
    rows: Ints
    labels: Ints
    logits: NDArray[np.float32] | None
    loss: Floats | None
    correct: Bools | None
    metadata: dict[str, NDArray[np.str_]] = field(default_factory=dict)


def classes_of(tables: list[pd.DataFrame]) -> list[str]:
    """The classes in the order of their numbers: from the names of the columns, or else from the labels.

    Raises:
        DataError: the tables have different classes.
    """
    stated = {name: _classes(table) for name, table in enumerate(tables) if _classes(table)}
    if not stated:
        return _sorted({_label(label) for table in tables if "label" in table for label in table["label"]})
    first, *others = stated.values()
    for other in others:
        if other != first:
            raise DataError(
                f"one table has the classes {', '.join(first)} and another {', '.join(other)}; expected the same in all"
            )
    return first


def read_records(table: pd.DataFrame, split: str, classes: list[str], metadata: Sequence[str] = ()) -> Records:
    """Check a table and arrange it by epoch and row.

    Args:
        table: as `EXPECTED` says; `row` may be missing where there is no `epoch`, and rows are counted then. A table of train may have
            no answers but only labels.
        split: its name in errors.
        classes: those of `classes_of`.
        metadata: columns by whose values the rows are compared; of a table without epochs.

    Raises:
        DataError: a column is missing, a column of metadata has too many values, a number is impossible, or the epochs do not have the
            same rows and labels.
    """
    given = {str(name) for name in table.columns}
    answered = any(name.startswith((PROBABILITY, LOGIT)) for name in given) or {"loss", "correct"} <= given or split == "train"
    if "label" not in given or ("epoch" in given and "row" not in given) or not answered:
        raise DataError(f"{split} has the columns {', '.join(map(str, table.columns[:12]))}; expected {EXPECTED}")
    if not len(table):
        raise DataError(f"{split} has no rows; expected one for each example")
    by_epoch = "epoch" in table
    table = table.assign(
        epoch=_numeric(table["epoch"], split) if by_epoch else 0.0,
        row=_whole(table["row"], split) if "row" in table else np.arange(len(table)),
    ).sort_values(["epoch", "row"], kind="stable")
    epochs = _grid(table, split)
    number = {name: position for position, name in enumerate(classes)}
    names = table["label"].map(_label)
    if unknown := sorted(set(names) - set(number)):
        raise DataError(f"{split} has the label {unknown[0]}; expected one of the classes {', '.join(classes[:20])}")
    labels: Ints = np.array([number[name] for name in names], dtype=np.int64).reshape(len(epochs), -1)
    if (labels != labels[0]).any():
        row = table["row"].to_numpy().reshape(labels.shape)[0][(labels != labels[0]).any(axis=0)][0]
        raise DataError(f"row {row} of {split} changes its label between epochs; expected the same rows in every epoch")
    kind, logits, loss, correct = _answers(table, labels, split, classes)
    rows = table["row"].to_numpy(dtype=np.int64)[: labels.shape[1]]
    described = _metadata(table, split, metadata)
    return Records(kind, epochs if by_epoch else None, rows, labels[0], logits, loss, correct, described)


def _answers(
    table: pd.DataFrame, labels: Ints, split: str, classes: list[str]
) -> tuple[str, NDArray[np.float32] | None, Floats | None, Bools | None]:
    """What the columns are, logits (E, N, K), log-losses and which are right (E, N), from a sorted table; labels (E, N)."""
    prefix = next((prefix for prefix in (PROBABILITY, LOGIT) if f"{prefix}{classes[0]}" in table), None)
    if prefix is None:
        return _losses(table, labels, split)
    columns = [f"{prefix}{name}" for name in classes]
    values = table[columns].to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(_at(table, ~np.isfinite(values).all(axis=1), split, "an answer that is not a finite number"))
    if prefix == PROBABILITY:
        wrong = (values < 0).any(axis=1) | (np.abs(values.sum(axis=1) - 1) > 0.001)
        if wrong.any():
            raise DataError(_at(table, wrong, split, "probabilities that are negative or do not sum to 1 (within 0.001)"))
        values = np.log(np.maximum(values, SMALLEST))
    logits = values.astype(np.float32).reshape(*labels.shape, len(classes))
    loss = np.stack([log_losses(epoch, labels[0]) for epoch in logits])
    return (
        f"{'probabilities' if prefix == PROBABILITY else 'logits'} of {len(classes)} classes",
        logits,
        loss,
        logits.argmax(-1) == labels,
    )


def _losses(table: pd.DataFrame, labels: Ints, split: str) -> tuple[str, None, Floats | None, Bools | None]:
    if not {"loss", "correct"} <= set(table.columns):  # of train alone
        return "labels only", None, None, None
    loss, correct = _numeric(table["loss"], split), _numeric(table["correct"], split)
    if (wrong := ~np.isfinite(loss) | (loss < 0)).any():
        raise DataError(_at(table, wrong, split, "a loss that is negative or not a finite number"))
    if (wrong := ~np.isin(correct, (0, 1))).any():
        raise DataError(_at(table, wrong, split, "a value of correct other than true, false, 1 and 0"))
    return "losses, without probabilities", None, loss.reshape(labels.shape), (correct == 1).reshape(labels.shape)


def _metadata(table: pd.DataFrame, split: str, names: Sequence[str]) -> dict[str, NDArray[np.str_]]:
    """The named columns of a sorted table as text; empty where nothing is stated."""
    if lacking := [name for name in names if name not in table]:
        raise DataError(
            f"{split} has no column {', '.join(lacking)}, only {', '.join(map(str, table.columns[:12]))}; expected the columns that "
            "metadata names"
        )
    columns = {name: ["" if pd.isna(value) else _label(value) for value in table[name]] for name in names}
    if many := too_many_values(columns):
        raise DataError(f"{split} has metadata with too many values: {', '.join(many)}; {FEWER}")
    return {name: np.array(values, dtype=np.str_) for name, values in columns.items()}


def _grid(table: pd.DataFrame, split: str) -> Floats:
    """The epochs of a sorted table.

    Raises:
        DataError: a row occurs twice in an epoch, or an epoch has other rows than the first.
    """
    if (twice := table.duplicated(["epoch", "row"])).any():
        raise DataError(_at(table, twice.to_numpy(), split, "the same row again"))
    epochs, counts = np.unique(table["epoch"].to_numpy(dtype=np.float64), return_counts=True)
    rows = np.split(table["row"].to_numpy(), np.cumsum(counts)[:-1])
    for epoch, own in zip(epochs, rows, strict=True):
        if not np.array_equal(own, rows[0]):
            raise DataError(
                f"{split} has {len(own)} rows at epoch {epoch:g} and {len(rows[0])} at epoch {epochs[0]:g}, and not the same ones; "
                "expected the same rows in every epoch"
            )
    found: Floats = epochs
    return found


def _at(table: pd.DataFrame, wrong: Bools, split: str, what: str) -> str:
    first = table.loc[table.index[wrong][0]]
    first = first.iloc[0] if isinstance(first, pd.DataFrame) else first
    return f"row {first['row']:g} of {split} at epoch {first['epoch']:g} has {what} ({int(wrong.sum())} such rows)"


def _numeric(column: "pd.Series[Any]", split: str) -> Floats:
    try:
        found: Floats = pd.to_numeric(column).to_numpy(dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"the column {column.name} of {split} holds text ({error}); expected numbers") from None
    if column.name == "epoch" and np.isnan(found).any():
        raise DataError(f"a row of {split} has no epoch; expected one in every row")
    return found


def _whole(column: "pd.Series[Any]", split: str) -> Ints:
    found = _numeric(column, split)
    if not (np.isfinite(found).all() and (found == np.round(found)).all()):
        raise DataError(f"the column row of {split} holds numbers that are not whole; expected the number of each example")
    numbers: Ints = found.astype(np.int64)
    return numbers


def _classes(table: pd.DataFrame) -> list[str]:
    """The classes that have a column; empty where none has."""
    for prefix in (PROBABILITY, LOGIT):
        found = [str(name).removeprefix(prefix) for name in table.columns if str(name).startswith(prefix)]
        if len(found) == 1:
            raise DataError(f"found the one column {prefix}{found[0]}; expected one for each class, of two classes too")
        if found:
            return _sorted(found) if all(name.isdigit() for name in found) else found
    return []


def _sorted(names: "set[str] | list[str]") -> list[str]:
    numeric = all(name.isdigit() for name in names)
    return sorted(names, key=lambda name: (int(name), "") if numeric else (0, name))


def _label(label: object) -> str:
    """How a label is written in the name of a column: 3 for 3.0."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
