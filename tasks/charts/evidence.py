"""The evidence of a finding for a reader: single facts as pairs, and lists that belong together as the columns of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.charts.formats import between, decimals_of, fixed, p_value, typeset, value, words

MOST = 24  # rows of a table; the number of all is stated
EACH = "_of_each_"


@dataclass(frozen=True)
class Table:
    """Columns of equal length; `total` is the number of rows, of which `rows` holds the first ones."""

    caption: str
    head: list[str]
    rows: list[list[str]]
    total: int


def facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of what is in no table; `x_ci` is shown beside `x`, as its interval."""
    tabled = {key for _, keys in _groups(found) for key in keys}
    rows = []
    for key, item in found.items():
        interval = found.get(f"{key}_ci")
        if key in tabled or (key.endswith("_ci") and key.removesuffix("_ci") in found):
            continue
        text = "none" if item == [] else _cell(key, item)
        if isinstance(interval, list):
            decimals = max(decimals_of(item, *interval), 3)
            text = f"{fixed(item, decimals)} ({between(*(fixed(end, decimals) for end in interval))})"
        rows.append((words(key), text))
    return rows


def tables(found: Mapping[str, Any], classes: Sequence[str]) -> list[Table]:
    """The lists that belong together: `train_candidate_rows` with `train_candidate_margin`, or all `…_of_each_class`.

    Numbers of classes are shown as their names.
    """
    return [_table(caption, {key: found[key] for key in keys}, name, classes) for (caption, name), keys in _named(found)]


def _groups(found: Mapping[str, Any]) -> list[tuple[tuple[str, int], list[str]]]:
    """Keys of two lists or more that have the same length and the same first two words, or the same `_of_each_…`."""
    together: dict[tuple[str, int], list[str]] = {}
    for key, item in found.items():
        if isinstance(item, list) and item and not key.endswith("_ci"):
            together.setdefault((_shared(key), len(item)), []).append(key)
    return [(shared, keys) for shared, keys in together.items() if len(keys) > 1]


def _shared(key: str) -> str:
    _, each, rest = key.partition(EACH)
    return f"{each}{rest.partition('_')[0]}" if each else "_".join(key.split("_")[:2])


def _named(found: Mapping[str, Any]) -> list[tuple[tuple[str, str], list[str]]]:
    """The groups with their captions, and what each row is: a class, a slice; empty where a column says it."""
    named = []
    for (shared, _), keys in _groups(found):
        each = shared.removeprefix(EACH)
        caption = f"For each {each}" if shared.startswith(EACH) else words(shared)
        named.append(((caption, each if shared.startswith(EACH) else ""), keys))
    return named


def _table(caption: str, columns: Mapping[str, list[Any]], each: str, classes: Sequence[str]) -> Table:
    cells = {_head(key, each): [_cell(key, item, classes) for item in column[:MOST]] for key, column in columns.items()}
    total = len(next(iter(columns.values())))
    if each == "class" and total == len(classes):
        cells = {"Class": list(classes[:MOST]), **cells}
    elif "Name" in cells:
        cells = {words(each): cells.pop("Name"), **cells}
    return Table(caption, list(cells), [list(row) for row in zip(*cells.values(), strict=True)], total)


def _head(key: str, each: str) -> str:
    """The part of a name that differs between the columns."""
    return words(key.replace(f"{EACH}{each}", "") if each else "_".join(key.split("_")[2:]) or key)


def _cell(key: str, item: Any, classes: Sequence[str] = ()) -> str:
    if key.endswith("_classes") and isinstance(item, int) and 0 <= item < len(classes):
        return classes[item]
    return p_value(item) if "p_value" in key and isinstance(item, float) else typeset(value(item))
