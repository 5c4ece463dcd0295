"""What every dataset gives: images and labels in one form, read only when they are used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RAW = Path("data/raw")  # the source's own files, as they were found; what `download` writes and `preprocess` reads


@dataclass(frozen=True)
class Rows:
    """Labelled images in the source's order.

    Shapes: images (N, C, H, W) uint8, or the N image files, which are decoded when they are used; labels (N,) int64, numbers of
    `Source.classes`; numbers (N,) int64, the number of each row in the source, 0..N-1 unless stated. `paths` and `groups`, N each,
    are empty where the source has no files or groups. A path is relative to the user's folder; rows of one group (a patient, a
    camera, a burst) never come into two splits. `metadata` has, by column, N values by which the diagnosis compares the test rows.
    """

    images: "NDArray[np.uint8] | Sequence[Path]"
    labels: "NDArray[np.int64]"
    numbers: "NDArray[np.int64] | None" = None
    paths: Sequence[str] = ()
    groups: Sequence[str] = ()
    metadata: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A dataset as its source states it; `val` and `test` are None where they are to be drawn from `train`."""

    classes: list[str]
    unit: str  # what a row number counts: "line of digits.csv.gz"
    train: Rows
    val: Rows | None = None
    test: Rows | None = None
    numbered_by_split: bool = True  # False: a split of the source's own has its rows numbered in the whole source
    unreadable: int = 0  # files that were left out because they cannot be read
