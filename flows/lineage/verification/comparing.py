"""The values of a stored file by name, and where two files have others."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Tolerance:
    """By how much two numbers may differ: absolutely, or relative to the larger."""

    absolute: float
    relative: float

    def holds(self, one: Any, other: Any) -> bool:
        """Whether two values are the same within it."""
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
        if not numbers or self.relative == 0:
            return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - NaN is as it was
        return math.isclose(one, other, rel_tol=self.relative, abs_tol=self.absolute)


EXACT = Tolerance(0, 0)
ROUNDED = Tolerance(1e-5, 1e-4)  # of 32-bit arithmetic in another order


def values(source: Any) -> dict[str, Any] | None:
    """Every value of a JSON file, a table or a file of tensors by its key; None for a file of another kind, or that cannot be read.

    Args:
        source: a path, a table of pandas, or what a JSON file holds.
    """
    if not isinstance(source, Path):
        return _of_table(source) if hasattr(source, "columns") else dict(_of_json(source))
    try:
        match source.suffix:
            case ".json":
                return dict(_of_json(json.loads(source.read_text(encoding="utf-8"))))
            case ".csv" | ".parquet":
                return _of_table(_table(source))
            case ".safetensors":
                return _of_tensors(source)
    except (ValueError, OSError):
        return None
    return None


def _table(path: Path) -> Any:
    import pandas as pd

    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    names = {"class": str, "actual": str, "predicted": str}  # a class may be called "7" or "NA"
    return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])


def _of_json(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _of_json(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from _of_json(item, f"{key}[{place}]")
    else:
        yield key, value


def _of_table(table: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in table.columns:
        for place, value in enumerate(table[name].tolist()):
            found[f"{name} of row {place}"] = value
    return found


def _of_tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    found: dict[str, Any] = {}
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    for name, array in tensors.items():
        found[f"shape of {name}"] = list(array.shape)
        found[name] = array
    return found


def differences(again: dict[str, Any], stored: dict[str, Any], tolerance: Tolerance) -> Iterator[tuple[str, str, str]]:
    """Each key whose values differ: the key, the value computed again, the stored value."""
    for key in dict.fromkeys((*again, *stored)):
        if key not in again or key not in stored:
            expected, found = (shown(side[key]) if key in side else "no such value" for side in (again, stored))
            yield key, expected, found
        elif hasattr(again[key], "dtype") and hasattr(stored[key], "dtype"):
            yield from _tensor(key, again[key], stored[key], tolerance)
        elif not tolerance.holds(again[key], stored[key]):
            yield key, shown(again[key]), shown(stored[key])


def _tensor(key: str, again: Any, stored: Any, tolerance: Tolerance) -> Iterator[tuple[str, str, str]]:
    """Where two arrays differ the most."""
    import numpy as np

    if again.shape != stored.shape:
        return  # told by the key of the shape
    if again.dtype != stored.dtype:
        yield key, str(again.dtype), str(stored.dtype)
        return
    apart = np.abs(again.astype(np.float64) - stored.astype(np.float64))
    allowed = tolerance.absolute + tolerance.relative * np.abs(stored.astype(np.float64)) if tolerance.relative else 0.0
    wrong = (apart > allowed) | (np.isnan(again.astype(np.float64)) != np.isnan(stored.astype(np.float64)))
    if wrong.any():
        place = np.unravel_index(int(np.nan_to_num(apart * wrong, nan=np.inf).argmax()), apart.shape)
        where = (
            f"{key}[{', '.join(str(int(index)) for index in place)}], where {int(wrong.sum())} of {wrong.size} values differ"
        )
        yield where, shown(again[place].item()), shown(stored[place].item())


def shown(value: Any) -> str:
    """A value as JSON writes it; every digit of a float."""
    return json.dumps(value, ensure_ascii=False, default=str)
