"""By how much two versions of a file differ: tensor by tensor, column by column, value by value."""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch

TEXT = "number"  # the type of every number in a text


class _Numbers(NamedTuple):
    """An array, and the type that the file gives its numbers, which NumPy may lack."""

    values: "np.ndarray[Any, Any]"
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

    `.safetensors`, `.parquet`, `.csv` and `.json` are compared number by number, integers exactly. NaN equals NaN. Equal numbers of
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
        if type(error).__module__.partition(".")[0] in {"safetensors", "safetensors_rust", "builtins", "pyarrow", "pandas"}:
            return None
        raise
    listed = list(_compared(before, after))
    return sorted(listed, key=lambda one: (one.scaled is not None, -(one.scaled or 0.0)))


def _compared(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*before, *after)):
        if name not in after or name not in before:
            yield Difference(name, None, None, "not there any more" if name in before else "not there before")
            continue
        found = _differ(before[name], after[name])
        if found is not None:
            yield Difference(name, *found)


def _differ(before: Any, after: Any) -> tuple[float | None, float | None, str] | None:
    """Of two arrays: the largest difference, absolute and scaled, and in words; None where there is none."""
    import numpy as np

    (first, first_type), (second, second_type) = (_typed(one) for one in (before, after))
    kinds = f"recorded {first_type} {first.shape}, found {second_type} {second.shape}"
    if first.shape != second.shape:
        return None, None, kinds
    numbers = _is_number(first) and _is_number(second)
    if numbers and first_type != second_type:
        return None, None, kinds
    first, second = _of_one_type(first, second) if numbers else (first.astype(object), second.astype(object))
    if not _is_number(first):  # Python's own objects
        return None if _equal(first, second) else (None, None, _told(first, second))
    same, apart = _apart(first, second)
    if same.all():
        return None
    if not np.isfinite(apart).all():
        return None, None, "a number became infinite or undefined, or ceased to be"
    scaled = float((apart / np.maximum(1.0, np.abs(np.where(same, 0, first).astype(np.float64)))).max())
    largest = float(apart.max())
    many = "" if first.ndim == 0 else f" ({int((~same).sum())} of {first.size} numbers differ)"
    return largest, scaled, f"largest difference {largest:.3g}{many}"


def _typed(value: Any) -> _Numbers:
    import numpy as np

    if isinstance(value, _Numbers):
        return value
    array = np.asarray(value)
    return _Numbers(array, str(array.dtype))


def _of_one_type(first: "np.ndarray[Any, Any]", second: "np.ndarray[Any, Any]") -> "list[np.ndarray[Any, Any]]":
    """Integers and floats of a text as floats; as Python's own, which it compares exactly, where float64 has not every integer."""
    import numpy as np

    both = [first, second]
    if first.dtype == second.dtype:
        return both
    floats, objects = ([one.astype(kind) for one in both] for kind in (np.float64, object))
    integers = [number for number in range(2) if both[number].dtype.kind in "iu"]
    return floats if all((floats[number].astype(object) == objects[number]).all() for number in integers) else objects


def _apart(
    first: "np.ndarray[Any, Any]", second: "np.ndarray[Any, Any]"
) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Where the numbers are equal, and how far apart they are otherwise, in float64; integers are compared as such."""
    import numpy as np

    if first.dtype.kind in "iu":
        # The difference of two int64 may be too large for one; modulo 2**64 it is right.
        larger, smaller = (choose(first, second).astype(np.uint64) for choose in (np.maximum, np.minimum))
        return first == second, (larger - smaller).astype(np.float64)
    first, second = first.astype(np.float64), second.astype(np.float64)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        return same, np.where(same, 0.0, np.abs(first - second))


def _is_number(array: "np.ndarray[Any, Any]") -> bool:
    return array.dtype.kind in "iuf"


def _equal(first: "np.ndarray[Any, Any]", second: "np.ndarray[Any, Any]") -> bool:
    return all(_same(a, b) for a, b in zip(first.flat, second.flat, strict=True))


def _same(first: Any, second: Any) -> bool:
    undefined = [isinstance(value, float) and math.isnan(value) for value in (first, second)]
    return all(undefined) or bool(first == second)


def _told(first: "np.ndarray[Any, Any]", second: "np.ndarray[Any, Any]") -> str:
    a, b = next((a, b) for a, b in zip(first.flat, second.flat, strict=True) if not _same(a, b))
    return f"recorded {a!s:.60}, found {b!s:.60}"


def _tensors(path: Path) -> dict[str, Any]:
    """As NumPy has them; types that it lacks, such as bfloat16, as float32, which has all of their numbers."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: _tensor(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - not a mapping
        described = {f"metadata {key}": value for key, value in (file.metadata() or {}).items()}
    return tensors | described


def _tensor(tensor: "torch.Tensor") -> _Numbers:
    dtype = str(tensor.dtype).removeprefix("torch.")
    try:
        return _Numbers(tensor.numpy(), dtype)
    except TypeError:
        return _Numbers(tensor.float().numpy(), dtype)


def _columns(path: Path) -> dict[str, Any]:
    import pandas as pd

    table = pd.read_parquet(path)
    return {str(name): table[name].to_numpy() for name in table.columns}


def _cells(path: Path) -> dict[str, Any]:
    """The columns of a CSV file; one in which each cell is a number or empty is a column of numbers, the empty cell NaN."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if any(len(row) != len(header) for row in rows):
        raise ValueError("rows of different lengths")
    columns = {name: [row[index] for row in rows] for index, name in enumerate(header)}
    return {name: _numbers(cells) for name, cells in columns.items()}


def _numbers(cells: list[str]) -> Any:
    """A column of integers as such, and as objects of Python where it has floats as well and one is too large for float64."""
    import numpy as np

    try:
        numbers = [_number(cell) for cell in cells]
    except ValueError:
        return np.array(cells, dtype=object)
    array = np.asarray(numbers)
    if array.dtype.kind == "f" and any(isinstance(number, int) and int(float(number)) != number for number in numbers):
        array = np.array(numbers, dtype=object)
    return _Numbers(array, TEXT)


def _number(cell: str) -> int | float:
    try:
        return int(cell)
    except ValueError:
        return float(cell) if cell else math.nan


def _values(path: Path) -> dict[str, Any]:
    return dict(_flattened("", json.loads(path.read_text(encoding="utf-8"))))


def _flattened(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """Every value under its whole key, `findings[3].low`; numbers as such, and true or null as what they are."""
    import numpy as np

    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flattened(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from _flattened(f"{name}[{index}]", part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, _Numbers(np.asarray(value), TEXT)
    else:
        yield name, np.array(json.dumps(value), dtype=object)


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".safetensors": _tensors,
    ".parquet": _columns,
    ".csv": _cells,
    ".json": _values,
}
