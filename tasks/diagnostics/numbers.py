"""Someone's own tables, read, checked and held to each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from tasks.core.errors import DataError
from tasks.diagnostics.files import load
from tasks.diagnostics.history import History, recognise
from tasks.diagnostics.records import Records, classes_of, read_records
from tasks.statistics.arrays import Floats

Table: TypeAlias = pd.DataFrame | str | Path


@dataclass(frozen=True, eq=False)
class Numbers:
    """What was given, checked and arranged; `saved` is the epoch whose weights are used, as the files count it."""

    history: History | None
    val: Records | None
    test: Records | None
    train: Records | None
    epochs: Floats | None
    saved: float

    @property
    def position(self) -> int:
        """That of the saved epoch, from 0."""
        return 0 if self.epochs is None else int(np.flatnonzero(self.epochs == self.saved)[0])

    def described(self) -> list[str]:
        """What was recognised, one line for each table, and how epochs are counted."""
        lines = [f"history: {self.history.kind}, {len(self.history.epochs)} epochs"] if self.history else []
        for name, records in (("validation", self.val), ("test", self.test), ("train", self.train)):
            if records is not None:
                every = f", {len(records.epochs)} epochs" if records.epochs is not None else ""
                described = f", metadata {', '.join(records.metadata)}" if records.metadata else ""
                lines.append(f"{name} predictions: {records.kind}, {len(records.labels)} examples{every}{described}")
        if self.epochs is not None:
            last = ", the last one; state another if its weights are used" if self.saved == self.epochs[-1] else ""
            lines.append(f"saved epoch: {self.saved:g}{last}")
            if not np.array_equal(self.epochs, np.arange(1, len(self.epochs) + 1)):
                lines.append(
                    f"epochs: counted {self.epochs[0]:g} to {self.epochs[-1]:g} by the tables and the learning curves, "
                    f"1 to {len(self.epochs)} by the checks"
                )
        return lines


def gather(
    history: Table | None,
    predictions: Table | None,
    test: Table | None,
    train: Table | None,
    *,
    saved_epoch: float | None = None,
    metadata: Sequence[str] = (),
) -> Numbers:
    """Read and check what was given; see `diagnose_frames`."""
    tables = {
        name: _frame(table)
        for name, table in (("validation", predictions), ("test", test), ("train", train))
        if table is not None
    }
    if history is None and not tables:
        raise DataError("neither a history nor predictions were given; expected one of them")
    if metadata and test is None:
        raise DataError(f"metadata names {', '.join(metadata)}, but no test was given; expected the table with these columns")
    classes = classes_of(list(tables.values()))
    records = {name: read_records(table, name, classes, metadata if name == "test" else ()) for name, table in tables.items()}
    logged = None if history is None else recognise(_frame(history))
    val, tested, trained = (records.get(name) for name in ("validation", "test", "train"))
    if tested is not None and tested.epochs is not None:
        raise DataError("test has a column epoch; expected the answers of the saved epoch alone, so that test chooses nothing")
    epochs = _epochs(logged, val, trained)
    if saved_epoch is not None and (epochs is None or saved_epoch not in epochs):
        known = "no epochs" if epochs is None else f"epochs {epochs[0]:g} to {epochs[-1]:g}"
        raise DataError(f"the saved epoch {saved_epoch:g} is not among what was recorded; expected one of {known}")
    last = np.nan if epochs is None else float(epochs[-1])
    return Numbers(logged, val, tested, trained, epochs, last if saved_epoch is None else saved_epoch)


def _frame(table: Table) -> pd.DataFrame:
    return table if isinstance(table, pd.DataFrame) else load(Path(table))


def _epochs(history: History | None, val: Records | None, train: Records | None) -> Floats | None:
    """The epochs that all tables have recorded.

    Raises:
        DataError: they differ.
    """
    recorded = {
        name: found.epochs
        for name, found in (("the validation predictions", val), ("the training predictions", train))
        if found is not None and found.epochs is not None
    }
    if not recorded:
        return None if history is None else history.epochs
    (first, epochs), *others = recorded.items()
    differing = [name for name, other in others if not np.array_equal(other, epochs)]
    if history is not None and history.where(epochs) is None:
        differing.append(f"the history ({_span(history.epochs)})")
    if differing:
        raise DataError(
            f"{first} ({_span(epochs)}) and {' and '.join(differing)} do not have the same epochs; expected the same numbers in both, "
            "counted alike"
        )
    return epochs


def _span(epochs: Floats) -> str:
    return f"{len(epochs)} epochs, {epochs[0]:g} to {epochs[-1]:g}"
