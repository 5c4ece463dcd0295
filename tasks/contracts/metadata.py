"""What a table says of its rows beyond their classes: columns such as camera or site, by whose values the test rows are compared."""

from collections.abc import Iterable, Mapping

MOST_VALUES = 50  # each value is one more comparison that the error rates are divided among, and needs test rows of its own
FEWER = f"expected at most {MOST_VALUES} in each, as the rows of each value are compared with the rest: use coarser values"


def too_many_values(columns: Mapping[str, Iterable[str]]) -> list[str]:
    """The columns that have more than `MOST_VALUES` different values, each with their number."""
    counts = {name: len(set(values)) for name, values in columns.items()}
    return [f"{name}: {count} different values" for name, count in counts.items() if count > MOST_VALUES]
