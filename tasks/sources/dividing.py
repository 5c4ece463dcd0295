"""A source's rows into train, val and test: the shares of the classes kept, groups whole, drawn from the seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.contracts.splits import SplitName
from tasks.core.errors import DataError
from tasks.sources.images import named
from tasks.sources.source import Rows, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Index = np.ndarray[tuple[int], np.dtype[np.int64]]

DRAWS = 20  # random orders in which groups are tried; the best division is taken
MANY = 2000  # groups in all draws together: among many groups each order comes near the shares
STEPS = 200  # of improvement, after each


@dataclass(frozen=True)
class Part:
    """A split: some of the rows of the source, by their positions, ascending; `replaced` are other labels than theirs, for a study."""

    rows: Rows
    index: "Index"
    replaced: "Index | None" = None

    @property
    def labels(self) -> "Index":
        return self.rows.labels[self.index] if self.replaced is None else self.replaced

    @property
    def numbers(self) -> "Index":
        """The rows' numbers in the source."""
        return self.index if self.rows.numbers is None else self.rows.numbers[self.index]

    def __len__(self) -> int:
        return len(self.index)


def divide(source: Source, val_fraction: float, test_fraction: float, seed: int) -> dict[SplitName, Part]:
    """Stratified splits, each in the source's order; the test is drawn (or taken from the source) before val, so val cannot move it.

    Raises:
        DataError: a class has too few rows or groups.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    rest = np.arange(len(source.train.labels))
    held: dict[str, Part] = {}
    for name, own, fraction in (("test", source.test, test_fraction), ("val", source.val, val_fraction)):
        if own is None:
            rest, drawn = hold_out(rest, source, name, fraction, generator)
            held[name] = Part(source.train, drawn)
        else:
            held[name] = Part(own, np.arange(len(own.labels)))
    return {"train": Part(source.train, rest), "val": held["val"], "test": held["test"]}


def hold_out(
    index: "Index", source: Source, to: str, fraction: float, generator: "np.random.Generator"
) -> "tuple[Index, Index]":
    """Divide rows of `source.train` (ascending) into those kept and those held out for the split `to`, both ascending.

    Raises:
        DataError: a class has too few of the rows, or too few groups.
    """
    import numpy as np

    if fraction == 0:
        return index, index[:0]
    by_class = _of_groups if source.train.groups else _of_rows
    out = np.sort(by_class(index, source, to, fraction, generator))
    return np.setdiff1d(index, out, assume_unique=True), out


def _of_rows(index: "Index", source: Source, to: str, fraction: float, generator: "np.random.Generator") -> "Index":
    """Of each class the nearest whole number to `fraction`, but never none and never all.

    scikit-learn's splitters take neither a Generator nor a seed of 2**32, and may leave a small class without a held-out row.
    """
    import numpy as np

    held = []
    for number, name in enumerate(source.classes):
        members = index[source.train.labels[index] == number]
        if len(members) < 2:
            raise DataError(
                f"class '{name}' has too few rows to divide between train and {to}: {len(members)}; expected 2 or more: "
                f"add images of it, leave the class out{_instead(to)}"
            )
        count = min(max(math.floor(len(members) * fraction + 0.5), 1), len(members) - 1)
        held.append(generator.permutation(members)[:count])
    return np.concatenate(held)


def _of_groups(index: "Index", source: Source, to: str, fraction: float, generator: "np.random.Generator") -> "Index":
    """Whole groups, so that the share of each class comes as near to `fraction` as they allow, never none and never all of it.

    Finding the best choice of groups is a hard problem (set partition). They are tried in random orders, each taken if it brings the
    shares nearer; then single groups change sides while that helps; the best of the draws is used.
    """
    import numpy as np

    names, member_of = np.unique(np.array(source.train.groups)[index], return_inverse=True)
    counts = np.zeros((len(names), len(source.classes)), dtype=np.int64)  # of rows, by group and class
    np.add.at(counts, (member_of, source.train.labels[index]), 1)
    _check_groups(names.tolist(), counts, source.classes, to)
    wanted = Wanted(counts, fraction)
    draws = [_draw(wanted, generator) for _ in range(max(1, min(DRAWS, MANY // len(names))))]
    chosen = min(draws, key=lambda draw: float(wanted.distance(*wanted.sums(draw))))
    held, _ = wanted.sums(chosen)
    lacking = [name for name, out, n in zip(source.classes, held, counts.sum(axis=0), strict=True) if out in (0, n)]
    if lacking:
        raise DataError(
            f"no division of the {len(names)} groups between train and {to} was found in which both have every class; missing: "
            f"{', '.join(lacking)}; add groups, leave the class out, or state the split of each row in a column{_instead(to)}"
        )
    return index[chosen[member_of]]


def _check_groups(names: Sequence[str], counts: "NDArray[np.int64]", classes: Sequence[str], to: str) -> None:
    """Look for what makes a division impossible, whichever groups are chosen."""
    if len(names) < 2:
        raise DataError(
            f"all rows to be divided between train and {to} are of one group ({names[0]}); expected two or more: check the column of "
            f"groups{_instead(to)}"
        )
    of_class = (counts > 0).sum(axis=0)
    single = [
        f"{name}: {'no group' if n == 0 else names[int(counts[:, number].argmax())]}"
        for number, (name, n) in enumerate(zip(classes, of_class, strict=True))
        if n < 2
    ]
    if single:
        raise DataError(
            f"classes in a single group, which cannot be divided between train and {to} ({len(single)}):\n{named(single)}\n"
            f"expected two groups or more for each class: add groups, leave the class out{_instead(to)}"
        )


class Wanted:
    """How far a choice of groups is from the wanted share of each class. Shapes: counts (G, K), rows by group and class."""

    def __init__(self, counts: "NDArray[np.int64]", fraction: float) -> None:
        self.counts, self.present, self.fraction = counts, (counts > 0).astype("int64"), fraction
        self.rows, self.groups = counts.sum(axis=0), self.present.sum(axis=0)

    def sums(self, chosen: "NDArray[np.bool_]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """Of each class (K,): the rows, and the groups, that a choice (G,) holds out."""
        return self.counts[chosen].sum(axis=0), self.present[chosen].sum(axis=0)

    def distance(self, rows: "NDArray[np.int64]", groups: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """The squared differences of the shares, summed over classes; for rows and groups (…, K) that are held out.

        A class that is all on one side weighs more than any share; one that keeps a single group, so that no further split can have
        it, weighs a little.
        """
        shares = ((rows / self.rows - self.fraction) ** 2).sum(axis=-1)
        one_sided = ((groups == 0) | (groups == self.groups)).sum(axis=-1)
        last = ((groups == self.groups - 1) & (self.groups > 2)).sum(axis=-1)
        distance: NDArray[np.float64] = shares + 10.0 * one_sided + last
        return distance


def _draw(wanted: Wanted, generator: "np.random.Generator") -> "NDArray[np.bool_]":
    """One choice of groups (G,), made greedily in a random order and improved by single changes."""
    import numpy as np

    counts, present = wanted.counts, wanted.present
    chosen = np.zeros(len(counts), dtype=np.bool_)
    rows, groups = wanted.sums(chosen)
    best = float(wanted.distance(rows, groups))
    for group in generator.permutation(len(counts)):
        tried = float(wanted.distance(rows + counts[group], groups + present[group]))
        if tried < best:
            chosen[group], rows, groups, best = True, rows + counts[group], groups + present[group], tried
    for _ in range(STEPS):
        sign = 1 - 2 * chosen.astype(np.int64)[:, None]
        distances = wanted.distance(rows + sign * counts, groups + sign * present)
        group = int(distances.argmin())
        if distances[group] >= best:
            break
        rows, groups, best = rows + sign[group] * counts[group], groups + sign[group] * present[group], float(distances[group])
        chosen[group] = not chosen[group]
    return chosen


def _instead(to: str) -> str:
    return ", or set preprocess.val_fraction to 0" if to == "val" else ""
