"""A dataset of an installed distribution (torchvision's others, your own package): a class derived from torch's Dataset.

An example is an image and a class number: `(image, label)`. It is read once, into arrays, so that later stages need neither the
distribution nor its files.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tasks.core.errors import DataError
from tasks.core.files import expecting, missing, read_json, write_json
from tasks.core.imported import Imported, make
from tasks.sources.source import Rows, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = "classes.json"


class Settings(Imported):
    train: dict[str, Any] = Field(default={"train": True})  # keyword arguments of the training split alone
    # keyword arguments of the test split alone; null: preprocess draws one from the rows of train
    test: dict[str, Any] | None = Field(default={"train": False})
    # keyword arguments that are handed a path: `path` is download.path, `folder` an empty folder that is removed afterwards
    arguments: dict[str, Literal["path", "folder"]] = Field(default={"root": "folder"})


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Make the dataset, and write its images and labels.

    Raises:
        ParamsError: the object cannot be imported, is no dataset, or does not take the options.
        DataError: an example is not an image with its class number.
    """
    from torch.utils.data import Dataset

    splits = {"train": settings.train} | ({} if settings.test is None else {"test": settings.test})
    classes: list[str] = []
    with TemporaryDirectory() as folder:
        paths = {"path": str(path), "folder": folder}
        given = {key: paths[value] for key, value in settings.arguments.items()}
        for split, options in splits.items():
            dataset: Dataset[Any] = make(settings, Dataset, **given, **options)
            labels = _write(settings, dataset, split, raw)
            if split == "train":
                classes = _classes(settings, dataset, labels)
            if labels.max() >= len(classes):
                raise DataError(
                    f"{settings.import_}: example {labels.argmax()} of {split} has label {labels.max()}; expected 0..{len(classes) - 1}"
                )
    write_json(raw / CLASSES, classes)


def load(settings: Settings, raw: Path) -> Source:
    """Read what `fetch` wrote; the images stay on disk until they are used.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    classes = read_json(raw / CLASSES, "download")
    test = None if settings.test is None else _rows(raw, "test")
    return Source(classes, f"example of {settings.import_}", train=_rows(raw, "train"), test=test)


def _rows(raw: Path, split: str) -> Rows:
    import numpy as np

    images, labels = raw / f"{split}-images.npy", raw / f"{split}-labels.npy"
    for file in (images, labels):
        if not file.exists():
            raise missing(file, "download")
    with expecting(images, "download"):
        return Rows(np.load(images, mmap_mode="r"), np.load(labels))


def _write(settings: Settings, dataset: Any, split: str, raw: Path) -> "NDArray[np.int64]":
    """Write a split, an example at a time; return its labels (N,)."""
    import numpy as np

    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and len(dataset)):
        raise DataError(
            f"{settings.import_}: {split} has no examples that can be counted; expected a dataset with a length above 0"
        )
    labels = np.zeros(len(dataset), np.int64)
    images: Any = None
    for index in range(len(dataset)):
        where = f"{settings.import_}: example {index} of {split}"
        image, labels[index] = _example(dataset[index], where)
        if images is None:
            shape = (len(dataset), *image.shape)
            images = np.lib.format.open_memmap(raw / f"{split}-images.npy", mode="w+", dtype=np.uint8, shape=shape)
        if image.shape != images.shape[1:]:
            raise DataError(f"{where} is {image.shape} (C, H, W), the first {images.shape[1:]}; expected images of one shape")
        images[index] = image
    images.flush()
    np.save(raw / f"{split}-labels.npy", labels)
    return labels


def _example(found: Any, where: str) -> "tuple[NDArray[np.uint8], int]":
    """The image as (C, H, W), and the label."""
    if not isinstance(found, tuple | list) or len(found) < 2:
        raise DataError(f"{where} is {type(found).__name__}; expected a pair of an image and a class number")
    image, label = found[0], found[1]
    try:
        number = int(label)
    except (TypeError, ValueError):
        raise DataError(f"{where} has the label {label!r}; expected a class number from 0") from None
    if number != label or number < 0:
        raise DataError(f"{where} has the label {label!r}; expected a class number from 0")
    return _pixels(image, where), number


def _pixels(image: Any, where: str) -> "NDArray[np.uint8]":
    import numpy as np
    import torch
    from PIL import Image

    if isinstance(image, Image.Image):
        if image.mode not in {"L", "RGB"}:
            raise DataError(f"{where} is an image of mode {image.mode}; expected L or RGB, which image.convert() gives")
        array, channels_last = np.asarray(image), True
    else:
        array, channels_last = np.asarray(image), not isinstance(image, torch.Tensor)
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise DataError(
            f"{where} is {type(image).__name__} {array.dtype} {array.shape}; expected a PIL image, an array (H, W) or (H, W, C), or a "
            "tensor (C, H, W), of uint8"
        )
    if array.ndim == 2:
        array = array[None]
    elif channels_last:
        array = array.transpose(2, 0, 1)
    if array.shape[0] not in (1, 3):
        raise DataError(f"{where} has {array.shape[0]} channels; expected 1 or 3")
    return array


def _classes(settings: Settings, dataset: Any, labels: "NDArray[np.int64]") -> list[str]:
    """The names that the dataset states, or else the numbers."""
    stated = getattr(dataset, "classes", None)
    classes = [str(name) for name in stated] if stated else [str(number) for number in range(int(labels.max()) + 1)]
    absent = sorted(set(range(len(classes))) - set(labels.tolist()))
    if len(classes) < 2 or absent:
        found = f"has no example of class {classes[absent[0]]!r}" if absent else f"has the one class {classes[0]!r}"
        raise DataError(f"{settings.import_}: train {found}; expected two classes or more, and examples of each")
    return classes
