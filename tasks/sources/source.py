"""What every dataset gives: images and labels in one form."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RAW = Path("data/raw")  # the source's own files, as they were found; what `download` writes and `preprocess` reads


@dataclass(frozen=True)
class Source:
    """A dataset as its source states it; `test_*` are None where the source has no test split of its own.

    Shapes: images (N, C, H, W) uint8, labels (N,) int64, numbers of `classes`; the test split likewise.
    """

    images: "NDArray[np.uint8]"
    labels: "NDArray[np.int64]"
    classes: list[str]
    unit: str  # what a row number counts: "line of digits.csv.gz"
    test_images: "NDArray[np.uint8] | None" = None
    test_labels: "NDArray[np.int64] | None" = None
