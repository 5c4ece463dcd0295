"""One row per epoch from what other tools log: the format is recognised by its content, not by the name of the file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.core.errors import DataError
from tasks.statistics.arrays import Floats

METRICS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")
EXPECTED = (
    "a column epoch (or DVCLive's step) and one or more of train_loss, val_loss, train_accuracy, val_accuracy; names such as "
    "val/loss, valid_acc, eval_loss and loss are understood too"
)
HUGGING_FACE = "the log of Hugging Face's Trainer"
LIGHTNING = "a log with several rows for each epoch, as Lightning's CSVLogger writes it"
DVCLIVE = "DVCLive's metrics, each step taken as an epoch"
PLAIN = "plain columns with one row for each epoch"
SYNONYMS = {"valid": "val", "validation": "val", "eval": "val", "dev": "val", "training": "train", "acc": "accuracy"}


@dataclass(frozen=True, eq=False)
class History:
    """What was recorded for each epoch.

    `table` has one row for each epoch, in their order: `epoch` as the file counts it, and those of `METRICS` that were found. A value
    that was not logged is NaN.
    """

    kind: str
    table: pd.DataFrame

    @property
    def epochs(self) -> Floats:
        """(E,), as the file counts them; Hugging Face's may be fractions."""
        return self.table["epoch"].to_numpy(dtype=np.float64)

    def values(self, metric: str) -> Floats | None:
        """One of `METRICS` (E,), NaN where it was not logged; None where it has no value at all."""
        if metric not in self.table:
            return None
        found = self.table[metric].to_numpy(dtype=np.float64)
        return None if np.isnan(found).all() else found

    def where(self, epochs: Floats) -> "History | None":
        """The rows of these epochs, where all of them are there and no other has a validation loss."""
        kept = self.table[self.table["epoch"].isin(epochs)]
        losses = self.values("val_loss")
        others = [] if losses is None else set(self.epochs[~np.isnan(losses)]) - set(epochs)
        return None if others or len(kept) != len(epochs) else History(self.kind, kept)


def recognise(table: pd.DataFrame) -> History:
    """Recognise a history.

    Raises:
        DataError: it is none of the known formats, or contradicts itself; the message says what was found and expected.
    """
    table = table.rename(columns={name: str(name).lower() for name in table.columns if str(name).lower() in ("epoch", "step")})
    kind = _kind(table)
    if kind is None:
        raise DataError(f"a history with {_named(table)} has neither epoch nor step; expected {EXPECTED}")
    metrics = dict(_columns(table.drop(columns="train_loss", errors="ignore") if kind == HUGGING_FACE else table))
    if set(metrics) <= {"learning_rate"}:
        raise DataError(f"a history with {_named(table)} has no loss and no accuracy; expected {EXPECTED}")
    numbers = _numbers(table, ["epoch" if "epoch" in table else "step", *metrics.values()], list(metrics))
    if kind == HUGGING_FACE:
        numbers = _by_evaluation(numbers, table)
    elif kind == LIGHTNING:
        numbers = _by_epoch(numbers)
    return History(kind, _checked(numbers))


def _kind(table: pd.DataFrame) -> str | None:
    if "epoch" not in table:
        return DVCLIVE if "step" in table else None
    if "step" not in table:
        return PLAIN
    if any(str(name).startswith("eval_") for name in table.columns):
        return HUGGING_FACE
    return LIGHTNING if table["epoch"].isna().any() or table["epoch"].duplicated().any() else PLAIN


def _named(table: pd.DataFrame) -> str:
    names = [str(name) for name in table.columns]
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"the columns {shown}" if names else "no columns"


def _columns(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Each metric with the column that holds it.

    Raises:
        DataError: two columns hold the same metric.
    """
    whole: dict[str, list[str]] = {}
    steps: dict[str, list[str]] = {}
    for column in map(str, table.columns):
        words = [SYNONYMS.get(word, word) for word in re.split(r"[^a-z0-9]+", column.lower()) if word]
        metric = _metric([word for word in words if word not in ("epoch", "step")])
        if metric:
            (steps if "step" in words else whole).setdefault(metric, []).append(column)
    for metric in METRICS:
        found = whole.get(metric) or steps.get(metric) or []
        if len(found) > 1 and metric != "learning_rate":  # of several parameter groups the first stands for all
            raise DataError(f"found {' and '.join(found)}, which both mean {metric}; expected one: leave the other out")
        if found:
            yield metric, found[0]


def _metric(words: list[str]) -> str | None:
    if words[:1] == ["lr"] or words[:2] == ["learning", "rate"]:
        return "learning_rate"
    if words in (["loss"], ["accuracy"]):
        return f"train_{words[0]}"
    name = "_".join(words)
    return name if name in METRICS else None


def _numbers(table: pd.DataFrame, columns: list[str], metrics: list[str]) -> pd.DataFrame:
    """The chosen columns as numbers, the first of them the epoch, under their own names here."""
    found = {}
    for column, name in zip(columns, ["epoch", *metrics], strict=True):
        try:
            found[name] = pd.to_numeric(table[column]).astype("float64")
        except (ValueError, TypeError) as error:
            raise DataError(f"the column {column} of the history holds text ({error}); expected numbers") from None
    return pd.DataFrame(found)


def _by_evaluation(numbers: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """One row for each evaluation, with the mean of the training losses that were logged since the one before.

    Of two evaluations at the same step the first counts: the second is that of the restored best weights at the end.
    """
    rows, losses, rate = [], [], np.nan
    evaluated = table["eval_loss"].notna() if "eval_loss" in table else pd.Series(data=False, index=table.index)
    seen = set()
    for row, step, is_evaluation in zip(numbers.to_dict("records"), table["step"], evaluated, strict=True):
        losses += [row["train_loss"]] if not np.isnan(row.get("train_loss", np.nan)) else []
        rate = rate if np.isnan(row.get("learning_rate", np.nan)) else row["learning_rate"]
        if is_evaluation and step not in seen:
            seen.add(step)
            rows.append({**row, "train_loss": np.mean(losses) if losses else np.nan, "learning_rate": rate})
            losses = []
    if not rows:
        raise DataError(f"{HUGGING_FACE} has no eval_loss; expected an evaluation after each epoch (eval_strategy='epoch')")
    return pd.DataFrame(rows)


def _by_epoch(numbers: pd.DataFrame) -> pd.DataFrame:
    """One row for each epoch: the mean of its training values, and the last of its others."""
    numbers = numbers.assign(epoch=numbers["epoch"].bfill())  # a learning rate is logged without its epoch, before that begins
    groups = numbers.dropna(subset="epoch").groupby("epoch")
    ways = {name: "mean" if name.startswith("train_") else "last" for name in numbers.columns if name != "epoch"}
    # An epoch with nothing but other metrics is that of a test after training.
    return groups.agg(ways).dropna(how="all").reset_index()


def _checked(numbers: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of their epochs.

    Raises:
        DataError: an epoch occurs twice or has no number, there is no row, or an accuracy is no fraction.
    """
    if numbers["epoch"].isna().any() or not len(numbers):
        raise DataError("a row of the history has no epoch, or there is no row; expected one row for each epoch")
    if numbers["epoch"].duplicated().any():
        twice = numbers.loc[numbers["epoch"].duplicated(), "epoch"].iloc[0]
        raise DataError(f"epoch {twice:g} occurs more than once in the history; expected one row for each epoch")
    for name in ("train_accuracy", "val_accuracy"):
        found = numbers[name].dropna() if name in numbers else pd.Series(dtype="float64")
        if len(found) and not found.between(0, 1).all():
            raise DataError(f"{name} holds {found[~found.between(0, 1)].iloc[0]:g}; expected fractions from 0 to 1")
    return numbers.sort_values("epoch").reset_index(drop=True)
