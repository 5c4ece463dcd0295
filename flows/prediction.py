"""What `goodfit predict` adds to the function: where the model is, and the table in the format that was asked for."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from flows.repository import find_project
from tasks.core.errors import GoodfitError
from tasks.core.files import whole
from tasks.learning.prediction import is_model

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "models"


def find_model(paths: Sequence[Path]) -> tuple[Path, list[Path]]:
    """The folder of the model, and the paths of the images.

    The first path is the model where it is a folder with `model.json`, or a folder with such a folder `models` in it. Else it is
    `models` here, or in the project that the current folder is part of.

    Raises:
        GoodfitError: there is no model.
    """
    first, *rest = paths
    if is_model(first):
        return first, rest
    if is_model(first / FOLDER):
        return first / FOLDER, rest
    if is_model(Path(FOLDER)):
        return Path(FOLDER), list(paths)
    try:
        found = find_project() / FOLDER
    except GoodfitError:
        found = None
    if found is None or not is_model(found):
        raise GoodfitError(
            f"no model: neither {first} nor {FOLDER} is a folder with model.json; name first the folder that holds model.json and "
            "model.safetensors"
        )
    return found, list(paths)


def write_predictions(table: "pd.DataFrame", kind: str, output: Path | None) -> None:
    """Write the table to a file, or to standard output; floats read back exactly."""
    if output is None:
        _write(table, kind, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with whole(output) as temporary, temporary.open("wb") as file:
        _write(table, kind, file)


def _write(table: "pd.DataFrame", kind: str, file: BinaryIO) -> None:
    if kind == "csv":
        table.to_csv(file, index=False, lineterminator="\n")
    elif kind == "parquet":
        file.write(table.to_parquet(index=False))
    else:
        file.write((json.dumps(as_records(table), indent=2, ensure_ascii=False) + "\n").encode())


def as_records(table: "pd.DataFrame") -> list[dict[str, object]]:
    """One object per image: file, predicted, confidence, and the probabilities by class."""
    prefix = "probability_"
    classes = [str(name) for name in table.columns if str(name).startswith(prefix)]
    return [
        {
            "file": row["file"],
            "predicted": row["predicted"],
            "confidence": row["confidence"],
            "probabilities": {name.removeprefix(prefix): row[name] for name in classes},
        }
        for row in table.to_dict("records")
    ]
