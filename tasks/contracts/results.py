"""What `evaluate` hands on: metrics with intervals, tables for the plots, and one prediction per test example."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.files import expecting, missing, whole

if TYPE_CHECKING:
    import pandas as pd

EVALUATION = Path("metrics/evaluation.json")
# row, label, predicted (class numbers), confidence, loss (nats), probability_0 … probability_{K-1}; one row per test example.
PREDICTIONS = Path("results/predictions.parquet")
# class, n, correct, precision, recall, recall_ci_low, recall_ci_high; one row per class.
PER_CLASS = Path("results/per_class.csv")
# actual, predicted (class names); one row per test example, from which a plot counts the confusions.
CONFUSION = Path("results/confusion.csv")
# bin_low, bin_high, n, confidence, accuracy, accuracy_ci_low, accuracy_ci_high; one row per bin with examples in it.
CALIBRATION = Path("results/calibration.csv")


def write_table(root: Path, path: Path, table: "pd.DataFrame") -> None:
    """Write a table as .csv or .parquet, whichever `path` ends in; floats read back exactly."""
    with whole(root / path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(root: Path, path: Path, stage: str, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a table that `stage` writes, or some of its columns.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    import pandas as pd

    if not (root / path).exists():
        raise missing(root / path, stage)
    # Only an empty field is a missing number, because a class may be called "NA".
    names = {"class": str, "actual": str, "predicted": str}
    with expecting(root / path, stage):
        if path.suffix == ".parquet":
            return pd.read_parquet(root / path, columns=columns)
        return pd.read_csv(root / path, dtype=names, keep_default_na=False, na_values=[""], usecols=columns)
