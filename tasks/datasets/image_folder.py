"""The user's own images: a class per sub-folder, or `train/` and `test/` of those."""

import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import DataError
from tasks.core.settings import Section
from tasks.sources.source import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Listing = list[tuple[Path, int]]  # an image's file and its class number, sorted by class, then by name
SPLITS = ("train", "test")
EXPECTED = "expected a class per sub-folder (cat/1.png, dog/7.png), or train/ and test/ of those"


class Settings(Section):
    """No options."""


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Check every image under `path` and copy it, under the same name; other files beside the class folders stay behind.

    Raises:
        DataError: the folder is missing, or holds what cannot be learned from.
    """
    _, *listings = listed(path)
    source(path)
    for file, _ in [row for listing in listings for row in listing]:
        copy = raw / file.relative_to(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def load(settings: Settings, raw: Path) -> Source:
    return source(raw)


def source(folder: Path) -> Source:
    """Read a folder: all images have one size and one mode, L (C = 1) or RGB (C = 3).

    Raises:
        DataError: each with the file or folder, what was found and what was expected.
    """
    import numpy as np

    classes, train, test = listed(folder)
    images = _read([path for path, _ in train + test])
    labels = np.array([label for _, label in train + test], dtype=np.int64)
    n = len(train)
    own_test = (images[n:], labels[n:]) if test else (None, None)
    return Source(images[:n], labels[:n], classes, "image file, sorted by class folder and name", *own_test)


def listed(folder: Path) -> tuple[list[str], Listing, Listing]:
    """The classes, the training files and the test files (none where there are no `train/` and `test/`)."""
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "is missing"
        raise DataError(f"{folder} {found}; {EXPECTED}: set download.path to that folder")
    if not all((folder / split).is_dir() and _folders(folder / split) for split in SPLITS):
        classes = _classes(folder)
        return classes, _files(folder, classes), []
    others = [name for name in _folders(folder) if name not in SPLITS]
    if others:
        raise DataError(
            f"{folder} holds {', '.join(others)} beside train/ and test/; {EXPECTED}: move or remove what is neither"
        )
    classes, test_classes = (_classes(folder / split) for split in SPLITS)
    if classes != test_classes:
        odd = ", ".join(sorted(set(classes) ^ set(test_classes)))
        raise DataError(f"{folder}: classes in only one of train/ and test/: {odd}; expected the same class folders in both")
    train, test = (_files(folder / split, classes) for split in SPLITS)
    return classes, train, test


def _visible(folder: Path) -> list[Path]:
    # Hidden files are the file manager's (.DS_Store), not images. A folder's own order differs between machines.
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _folders(folder: Path) -> list[str]:
    return [path.name for path in _visible(folder) if path.is_dir()]


def _classes(folder: Path) -> list[str]:
    classes = _folders(folder)
    if len(classes) < 2:
        raise DataError(
            f"{folder} holds {len(classes)} class folders ({', '.join(classes) or 'none'}); {EXPECTED}, two or more"
        )
    return classes


def _files(folder: Path, classes: list[str]) -> Listing:
    listing = [(path, label) for label, name in enumerate(classes) for path in _visible(folder / name)]
    nested = next((path for path, _ in listing if path.is_dir()), None)
    if nested:
        raise DataError(f"{nested} is a folder inside a class; {EXPECTED}")
    present = {label for _, label in listing}
    empty = next((name for label, name in enumerate(classes) if label not in present), None)
    if empty is not None:
        raise DataError(f"{folder / empty} holds no image; expected one or more in each class: add some, or remove the folder")
    return listing


def _read(paths: list[Path]) -> "NDArray[np.uint8]":
    """Images (N, C, H, W) uint8, one after the other into one array."""
    import numpy as np

    first = _pixels(paths[0])
    images = np.empty((len(paths), *first.shape), dtype=np.uint8)
    for row, path in enumerate(paths):
        pixels = _pixels(path)
        if pixels.shape[2] != first.shape[2]:
            modes = {1: "L", 3: "RGB"}
            raise DataError(
                f"{path} is {modes[pixels.shape[2]]} and {paths[0]} {modes[first.shape[2]]}; expected one mode: convert one of them"
            )
        if pixels.shape != first.shape:
            raise DataError(
                f"{path} is {_size(pixels)} pixels and {paths[0]} {_size(first)}; expected one size (width x height): resize or crop"
            )
        images[row] = pixels
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _size(pixels: "np.ndarray[Any, Any]") -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _pixels(path: Path) -> "np.ndarray[Any, Any]":
    """One image as (H, W, C) uint8."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    # Pillow's decoders raise each of these for a damaged file.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} cannot be read as an image ({error}); expected a whole PNG, JPEG, …: replace or remove it"
        ) from None
    if mode not in ("L", "RGB"):
        raise DataError(
            f"{path} has mode {mode}; expected L (grey) or RGB with 8 bits: convert it, such as with PIL's convert('RGB')"
        )
    return pixels if pixels.ndim == 3 else pixels[:, :, None]
