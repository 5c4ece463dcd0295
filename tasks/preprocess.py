"""Stage `preprocess`: `data/raw` into three splits, with what is known of train only."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks.contracts.splits import Arrays, Dataset, SplitName, write_dataset, write_split
from tasks.core.components import Choice, Component
from tasks.core.errors import DataError
from tasks.core.files import missing
from tasks.core.settings import Section, Seed
from tasks.sources.source import RAW, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


class Chosen(Section):
    """What `preprocess` needs of the section `download`: how the raw files are read."""

    dataset: Annotated[Choice, Component("tasks.datasets")]


class Preprocess(Section):
    # Share of the training rows held out to choose the epoch; 0 trains on all of them, in the source's order.
    val_fraction: float = Field(ge=0, lt=1)
    # Share of all rows held out for the test, where the source has no test split of its own.
    test_fraction: float = Field(gt=0, lt=1)


class Params(Section):
    seed: Seed
    download: Chosen
    preprocess: Preprocess


def preprocess(params: Params, root: Path = Path()) -> None:
    """Write `data/processed`: train, val and test as uint8 with their row numbers in the source, and dataset.json.

    Raises:
        ArtifactError: data/raw is missing or damaged.
        DataError: a class has too few rows to be split.
    """
    import numpy as np

    dataset = params.download.dataset
    if not (root / RAW).is_dir():
        raise missing(root / RAW, "download")
    source = dataset.module.load(dataset.settings, root / RAW)
    splits = split(source, params.preprocess.val_fraction, params.preprocess.test_fraction, params.seed)
    for key, part in splits.items():
        write_split(root, key, part)
    mean, deviation = statistics(splits["train"].images)
    channels, height, width = source.images.shape[1:]
    write_dataset(
        root,
        Dataset(
            name=dataset.name,
            classes=source.classes,
            shape=(channels, height, width),
            counts={key: np.bincount(part.labels, minlength=len(source.classes)).tolist() for key, part in splits.items()},
            mean=mean,
            deviation=deviation,
            rows=row_words(source),
        ),
    )


def split(source: Source, val_fraction: float, test_fraction: float, seed: int) -> dict[SplitName, Arrays]:
    """Stratified splits, each in the source's order; the test is drawn (or taken from the source) before val, so val cannot move it.

    Raises:
        DataError: a class has too few rows.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    rest = np.arange(len(source.labels))
    if source.test_images is not None and source.test_labels is not None:
        test = Arrays(source.test_images, source.test_labels, np.arange(len(source.test_labels)))
    else:
        rest, held = hold_out(rest, source, "test", test_fraction, generator)
        test = _take(source, held)
    rest, held = hold_out(rest, source, "val", val_fraction, generator)
    return {"train": _take(source, rest), "val": _take(source, held), "test": test}


def hold_out(
    rows: "Rows", source: Source, to: SplitName, fraction: float, generator: "np.random.Generator"
) -> "tuple[Rows, Rows]":
    """Divide `rows` (ascending) into those kept and those held out, class by class.

    Of each class goes the nearest whole number to `fraction`, but never none and never all. scikit-learn's splitters take
    neither a Generator nor a seed of 2**32, and may leave a small class without a held-out row.

    Raises:
        DataError: a class has fewer than two of the rows.
    """
    import numpy as np

    if fraction == 0:
        return rows, rows[:0]
    held = []
    for number, name in enumerate(source.classes):
        members = rows[source.labels[rows] == number]
        if len(members) < 2:
            instead = " or set preprocess.val_fraction to 0" if to == "val" else ""
            raise DataError(
                f"class '{name}' has too few rows to divide between train and {to}: {len(members)}; expected 2 or more: "
                f"add images of it, leave the class out{instead}"
            )
        count = min(max(math.floor(len(members) * fraction + 0.5), 1), len(members) - 1)
        held.append(generator.permutation(members)[:count])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(rows, out, assume_unique=True), out


def statistics(images: "NDArray[np.uint8]") -> tuple[list[float], list[float]]:
    """Mean and population deviation per channel in units of [0, 1], of images (N, C, H, W) uint8.

    Counted in whole numbers from a histogram of the 256 values: exact, so the same on every machine and with any number of threads.
    """
    import numpy as np

    mean, deviation = [], []
    for channel in range(images.shape[1]):
        counted = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), 1024):  # bincount copies into eight bytes a pixel
            counted += np.bincount(images[start : start + 1024, channel].ravel(), minlength=256)
        histogram: list[int] = counted.tolist()
        n = sum(histogram)
        total = sum(count * value for value, count in enumerate(histogram))
        squares = sum(count * value * value for value, count in enumerate(histogram))
        mean.append(total / (255 * n))
        # A constant channel has deviation 0; divided by 1 instead it becomes 0 everywhere, not NaN.
        deviation.append(math.sqrt(n * squares - total * total) / (255 * n) or 1.0)
    return mean, deviation


def row_words(source: Source) -> str:
    """What the row numbers count, for a reader of dataset.json."""
    if source.test_images is None:
        return f"{source.unit}, counted from 0 in the whole source"
    return f"{source.unit}, counted from 0 in the source's train split (train and val) or in its test split (test)"


def _take(source: Source, rows: "Rows") -> Arrays:
    return Arrays(source.images[rows], source.labels[rows], rows)
