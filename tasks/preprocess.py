"""Stage `preprocess`: `data/raw` into three splits of images of one form, with what is known of train only."""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks.contracts.splits import Dataset, SplitName, stream_split, write_dataset, write_rows
from tasks.core.components import Choice, Component
from tasks.core.files import missing
from tasks.core.progress import Progress
from tasks.core.settings import Section, Seed
from tasks.sources.dividing import Part, divide
from tasks.sources.images import ImageForm, pixels, shape_of
from tasks.sources.source import RAW, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Chosen(Section):
    """What `preprocess` needs of the section `download`: how the raw files are read."""

    dataset: Annotated[Choice, Component("tasks.datasets")]


class Preprocess(Section):
    # Share of the training rows held out to choose the epoch, where the source has no validation split of its own; 0 trains on all
    # of them, in the source's order.
    val_fraction: float = Field(ge=0, lt=1)
    # Share of all rows held out for the test, where the source has no test split of its own.
    test_fraction: float = Field(gt=0, lt=1)
    # For studies: the share of the training rows that are used, of each class alike.
    fraction: float = Field(gt=0, le=1, default=1)
    # For studies: the share of the training labels that are replaced by another class at random; val and test keep theirs.
    label_noise: float = Field(ge=0, lt=1, default=0)
    # The size and the channels that all images are brought to; what is not stated stays as the images have it.
    image: ImageForm = ImageForm()


class Params(Section):
    seed: Seed
    download: Chosen
    preprocess: Preprocess


def preprocess(params: Params, root: Path = Path()) -> None:
    """Write `data/processed`: train, val and test as uint8 with their row numbers in the source, rows.csv and dataset.json.

    Raises:
        ArtifactError: data/raw is missing or damaged.
        DataError: the images have several sizes and none is stated, or a class has too few rows to be split.
    """
    import numpy as np

    dataset, chosen = params.download.dataset, params.preprocess
    if not (root / RAW).is_dir():
        raise missing(root / RAW, "download")
    source = dataset.module.load(dataset.settings, root / RAW)
    announce(source, chosen)
    splits = divide(source, chosen.val_fraction, chosen.test_fraction, params.seed)
    splits["train"], wrong = studied(splits["train"], chosen, len(source.classes), params.seed)
    shape = shape_of([rows.images for rows in (source.train, source.val, source.test) if rows is not None], chosen.image)
    histogram = np.zeros((shape[0], 256), dtype=np.int64)
    with Progress("preprocess", sum(len(part) for part in splits.values()), "image") as progress:
        for name, part in splits.items():
            batches = watched(pixels(part.rows.images, part.index, chosen.image, shape), progress.advance)
            counted = counting(batches, histogram) if name == "train" else batches
            stream_split(root, name, shape=shape, batches=counted, labels=part.labels, rows=part.numbers)
    mean, deviation = moments(histogram)
    write_rows(root, named_rows(splits), list(source.train.metadata))
    write_dataset(
        root,
        Dataset(
            name=dataset.name,
            classes=source.classes,
            shape=shape,
            counts={name: np.bincount(part.labels, minlength=len(source.classes)).tolist() for name, part in splits.items()},
            mean=mean,
            deviation=deviation,
            rows=row_words(source),
            resize=chosen.image.resize if chosen.image.size else None,
            wrong_labels=wrong,
            unreadable=source.unreadable,
        ),
    )


def announce(source: Source, chosen: Preprocess) -> None:
    """Say how a validation split of the source's own is used, and how many of its files were left out."""
    if source.val is not None and chosen.val_fraction:
        print("preprocess: the source has a validation split of its own; preprocess.val_fraction is not applied")
    if source.val is not None and source.test is None:
        print("preprocess: the source has no test split of its own; preprocess.test_fraction of its training rows is held out")
    if source.unreadable:
        print(f"preprocess: unreadable files that the download left out: {source.unreadable}")


def studied(train: Part, chosen: Preprocess, classes: int, seed: int) -> tuple[Part, int]:
    """The training rows as a study wants them, and how many of their labels are wrong by its wish."""
    from tasks.sources.studies import fewer_rows, wrong_labels

    part = train if chosen.fraction == 1 else fewer_rows(train, chosen.fraction, seed)
    if len(part) < len(train):
        print(f"preprocess: {len(part)} of {len(train)} training rows are used (preprocess.fraction)")
    if not chosen.label_noise:
        return part, 0
    noisy = wrong_labels(part, chosen.label_noise, classes, seed)
    wrong = int((noisy.labels != part.labels).sum())
    print(f"preprocess: {wrong} of {len(part)} training labels are replaced by another class (preprocess.label_noise)")
    return noisy, wrong


def watched(batches: "Iterable[NDArray[np.uint8]]", advance: Callable[[int], object]) -> "Iterator[NDArray[np.uint8]]":
    """The batches, each reported when it has been used."""
    for batch in batches:
        yield batch
        advance(len(batch))


def counting(batches: "Iterable[NDArray[np.uint8]]", histogram: "NDArray[np.int64]") -> "Iterator[NDArray[np.uint8]]":
    """The batches (n, C, H, W) uint8, whose values are added to `histogram` (C, 256)."""
    import numpy as np

    for batch in batches:
        for channel in range(len(histogram)):
            histogram[channel] += np.bincount(batch[:, channel].ravel(), minlength=256)
        yield batch


def moments(histogram: "NDArray[np.int64]") -> tuple[list[float], list[float]]:
    """Mean and population deviation per channel in units of [0, 1], of the 256 values counted in `histogram` (C, 256).

    Computed in whole numbers: exact, so the same on every machine and with any number of threads.
    """
    mean, deviation = [], []
    for counted in histogram.tolist():
        n = sum(counted)
        total = sum(count * value for value, count in enumerate(counted))
        squares = sum(count * value * value for value, count in enumerate(counted))
        mean.append(total / (255 * n))
        # A constant channel has deviation 0; divided by 1 instead it becomes 0 everywhere, not NaN.
        deviation.append(math.sqrt(n * squares - total * total) / (255 * n) or 1.0)
    return mean, deviation


def named_rows(splits: dict[SplitName, Part]) -> Iterator[tuple[str | int, ...]]:
    """Split, row number, path, group and metadata of each row, where the source has files."""
    for name, part in splits.items():
        rows = part.rows
        if rows.paths:
            for number, index in zip(part.numbers.tolist(), part.index.tolist(), strict=True):
                group = rows.groups[index] if rows.groups else ""
                yield name, number, rows.paths[index], group, *(values[index] for values in rows.metadata.values())


def row_words(source: Source) -> str:
    """What the row numbers count, for a reader of dataset.json."""
    own = [name for name, rows in (("val", source.val), ("test", source.test)) if rows is not None]
    if not own or not source.numbered_by_split:
        return f"{source.unit}, counted from 0 in the whole source"
    if own == ["test"]:
        return f"{source.unit}, counted from 0 in the source's train split (train and val) or in its test split (test)"
    return f"{source.unit}, counted from 0 in each split of the source"
