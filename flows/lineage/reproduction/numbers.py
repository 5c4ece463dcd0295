"""By how much two versions of a file differ: tensor by tensor, column by column, value by value."""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    import torch


class _Values(NamedTuple):
    """An array, and the type that the file gives its values, which NumPy may lack."""

    array: "np.ndarray[Any, Any]"
    dtype: str


@dataclass(frozen=True)
class Difference:
    """A tensor, column or value that differs."""

    name: str
    largest: float | None  # the largest absolute difference of two numbers; None where something else differs
    scaled: float | None  # the largest difference as a part of the recorded number, or absolute where that is below 1
    what: str  # in words

    def within(self, tolerance: float) -> bool:
        return self.scaled is not None and self.scaled <= tolerance


def differences(recorded: Path, found: Path, name: str) -> list[Difference] | None:
    """What differs between two versions of the file `name`, the largest difference first.

    `.safetensors`, `.parquet`, `.csv` and `.json` are compared number by number, integers exactly. NaN equals NaN. Equal values of
    another type are a difference; in a text, where numbers have no type, 1 and 1.0 are none.

    Args:
        recorded: one version.
        found: the other.
        name: says by its ending what they are.

    Returns:
        None where the format holds no numbers that could be compared, or one of the files is damaged.
    """
    read = READERS.get(Path(name).suffix)
    if read is None:
        return None
    try:
        before, after = read(recorded), read(found)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    except Exception as error:  # safetensors has its own, without a common base
        if type(error).__module__.partition(".")[0] in {"safetensors", "safetensors_rust", "builtins", "pyarrow"}:
            return None
        raise
    listed = list(_compared(before, after))
    return sorted(listed, key=lambda one: (one.scaled is not None, -(one.scaled or 0.0)))


def _compared(before: dict[str, _Values], after: dict[str, _Values]) -> Iterator[Difference]:
    for name in dict.fromkeys((*before, *after)):
        if name not in after or name not in before:
            yield Difference(name, None, None, "not there any more" if name in before else "not there before")
            continue
        found = _differ(before[name], after[name])
        if found is not None:
            yield Difference(name, *found)


def _differ(before: _Values, after: _Values) -> tuple[float | None, float | None, str] | None:
    """Of two arrays: the largest difference, absolute and scaled, and in words; None where there is none."""
    import numpy as np

    (first, first_type), (second, second_type) = before, after
    if first.shape != second.shape or first_type != second_type:
        return None, None, f"recorded {first_type} {first.shape}, found {second_type} {second.shape}"
    differ = np.asarray((first != second) & ((first == first) | (second == second)))  # noqa: PLR0124 - NaN is not itself
    if not differ.any():
        return None
    many = "" if first.ndim == 0 else f" ({int(differ.sum())} of {first.size} numbers differ)"
    first, second = first[differ], second[differ]
    apart, scaled = _apart(first, second)
    if not np.isfinite(apart).all():
        index = int(np.isfinite(apart).argmin())
        return None, None, f"recorded {first[index]!s:.60}, found {second[index]!s:.60}"
    return float(apart.max()), float(scaled.max()), f"largest difference {apart.max():.3g}{many}"


def _apart(first: "np.ndarray[Any, Any]", second: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The differences of two vectors of N values that differ, absolute and scaled, as 2 x N float64; not finite where there is none."""
    import numpy as np

    if first.dtype.kind not in "iuf":
        return np.array([_distance(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)]).T
    if first.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(first.astype(np.float64) - second.astype(np.float64))
    else:  # the difference of two int64 may be too large for one; modulo 2**64 it is right
        larger, smaller = (choose(first, second).astype(np.uint64) for choose in (np.maximum, np.minimum))
        apart = (larger - smaller).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.stack([apart, apart / np.maximum(1.0, np.abs(first.astype(np.float64)))])


def _distance(first: Any, second: Any) -> tuple[float, float]:
    """As fractions, since Python subtracts an integer and a float as floats, which have not every integer above 2**53."""
    if {type(first), type(second)} <= {int, float}:  # not bool, which is an int too
        try:
            apart = float(abs(Fraction(first) - Fraction(second)))
            return apart, apart / max(1.0, abs(float(first)))
        except (OverflowError, ValueError):  # infinite, too large for float64, or NaN
            pass
    return math.nan, math.nan


def _tensors(path: Path) -> dict[str, _Values]:
    """As NumPy has them; types that it lacks, such as bfloat16, as float32, which has all of their numbers."""
    import numpy as np
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: _tensor(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - not a mapping
        described = {f"metadata {key}": np.array(value, dtype=object) for key, value in (file.metadata() or {}).items()}
    return tensors | {name: _Values(value, "text") for name, value in described.items()}


def _tensor(tensor: "torch.Tensor") -> _Values:
    dtype = str(tensor.dtype).removeprefix("torch.")
    try:
        return _Values(tensor.numpy(), dtype)
    except TypeError:
        return _Values(tensor.float().numpy(), dtype)


def _columns(path: Path) -> dict[str, _Values]:
    """As Arrow has them, with the index: pandas makes floats of integers where one is missing."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        table = file.read()
    return {name: _column(table[name]) for name in table.column_names}


def _column(column: "pyarrow.ChunkedArray") -> _Values:
    import numpy as np
    from pyarrow.types import is_floating

    values = column.to_numpy() if is_floating(column.type) else np.array(column.to_pylist(), dtype=object)
    return _Values(values, str(column.type))


def _cells(path: Path) -> dict[str, _Values]:
    """The columns of a CSV file; one in which each cell is a number or empty is a column of numbers, the empty cell NaN."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if any(len(row) != len(header) for row in rows):
        raise ValueError("rows of different lengths")
    if len(set(header)) < len(header):
        raise ValueError("two columns of one name")
    columns = {name: [row[index] for row in rows] for index, name in enumerate(header)}
    return {name: _numbers(cells) for name, cells in columns.items()}


def _numbers(cells: list[str]) -> _Values:
    """Numbers as Python's own: an array of floats would round a large integer beside them."""
    import numpy as np

    try:
        return _Values(np.array([_number(cell) for cell in cells], dtype=object), "number")
    except ValueError:
        return _Values(np.array(cells, dtype=object), "text")


def _number(cell: str) -> int | float:
    try:
        return int(cell)
    except ValueError:
        return float(cell) if cell else math.nan


def _values(path: Path) -> dict[str, _Values]:
    return dict(_flattened("", json.loads(path.read_text(encoding="utf-8"))))


def _flattened(name: str, value: Any) -> Iterable[tuple[str, _Values]]:
    """Every value under its whole key, `findings[3].low`; numbers as such, and true or null as what they are."""
    import numpy as np

    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flattened(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from _flattened(f"{name}[{index}]", part)
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        yield name, _Values(np.array(value if number else json.dumps(value), dtype=object), "value")


READERS: dict[str, Callable[[Path], dict[str, _Values]]] = {
    ".safetensors": _tensors,
    ".parquet": _columns,
    ".csv": _cells,
    ".json": _values,
}
