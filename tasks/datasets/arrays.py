"""The user's own arrays: an .npz file with x_train, y_train, x_test and y_test."""

import shutil
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import DataError
from tasks.core.settings import Section
from tasks.sources.source import Source

if TYPE_CHECKING:
    import numpy as np

FILE = "arrays.npz"
KEYS = ("x_train", "y_train", "x_test", "y_test")


class Settings(Section):
    """No options."""


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Check the file at `path` and copy it.

    Raises:
        DataError: it is missing, or holds what cannot be learned from.
    """
    read(path)
    shutil.copyfile(path, raw / FILE)


def load(settings: Settings, raw: Path) -> Source:
    return read(raw / FILE)


def read(path: Path) -> Source:
    """Read images uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, and labels: whole numbers 0..K-1, all in y_train.

    Raises:
        DataError: each with the array, what was found and what was expected.
    """
    import numpy as np

    x_train, y_train, x_test, y_test = (_array(path, key) for key in KEYS)
    images, test_images = _images(path, "x_train", x_train), _images(path, "x_test", x_test)
    if images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            f"{path}: images of x_test are {test_images.shape[1:]} (C, H, W), of x_train {images.shape[1:]}; expected one shape"
        )
    _check_labels(path, "y_train", y_train, len(images))
    _check_labels(path, "y_test", y_test, len(test_images))
    classes = _classes(path, y_train)
    if y_test.max() >= len(classes):
        raise DataError(
            f"{path}: y_test holds label {y_test.max()} in row {y_test.argmax()}; expected a class of y_train, 0..{len(classes) - 1}"
        )
    train, test = (np.ascontiguousarray(array) for array in (images, test_images))
    labels, test_labels = (array.astype(np.int64) for array in (y_train, y_test))
    return Source(train, labels, classes, "row of the arrays", test, test_labels)


def _array(path: Path, key: str) -> "np.ndarray[Any, Any]":
    import numpy as np

    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is missing"
        raise DataError(f"{path} {found}; expected an .npz file with {', '.join(KEYS)}: set download.path to it")
    # Of an .npy file or a pickle np.load makes something else than an archive.
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path} is not an .npz file, or not a whole one; write it with numpy.savez(path, x_train=…, y_train=…, …)"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            if key not in archive:
                raise DataError(
                    f"{path} has no {key}, only {', '.join(archive.files) or 'nothing'}; expected {', '.join(KEYS)}"
                )
            return np.asarray(archive[key])
    except (ValueError, zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        if "Object arrays" in str(error):
            raise DataError(
                f"{path}: {key} holds Python objects, as pickles, which are never run; expected an array of numbers"
            ) from None
        raise DataError(f"{path}: {key} is damaged ({error}); write the file again with numpy.savez") from None


def _images(path: Path, key: str, array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Any allowed shape as (N, C, H, W)."""
    shapes = "(N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, none of them 0"
    if array.dtype != "uint8":
        raise DataError(f"{path}: {key} is {array.dtype}; expected uint8, values 0..255: scale and convert it")
    if array.ndim not in (3, 4) or array.size == 0:
        raise DataError(f"{path}: {key} has shape {array.shape}; expected {shapes}")
    if array.ndim == 3:
        return array[:, None]
    first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
    if first and last:
        raise DataError(f"{path}: {key} has shape {array.shape}: either end could be the channels; make it (N, H, W) or larger")
    if not first and not last:
        raise DataError(f"{path}: {key} has shape {array.shape}: neither end can be the channels; expected {shapes}")
    return array.transpose(0, 3, 1, 2) if last else array


def _check_labels(path: Path, key: str, labels: "np.ndarray[Any, Any]", images: int) -> None:
    if labels.dtype.kind not in "iu":
        raise DataError(f"{path}: {key} is {labels.dtype}; expected whole numbers from 0: convert it with astype('int64')")
    if labels.ndim != 1:
        raise DataError(f"{path}: {key} has shape {labels.shape}; expected (N,), the number of a class a row")
    if len(labels) != images:
        raise DataError(f"{path}: {key} has {len(labels)} rows and its images {images}; expected a label an image")
    if labels.min() < 0:
        raise DataError(f"{path}: {key} holds label {labels.min()} in row {labels.argmin()}; expected whole numbers from 0")


def _classes(path: Path, labels: "np.ndarray[Any, Any]") -> list[str]:
    """The names "0".."K-1"; a number that no training row has is more likely a mistake than a class."""
    import numpy as np

    present = np.unique(labels)
    if len(present) < 2:
        raise DataError(f"{path}: y_train holds one class only ({present[0]}); expected two or more")
    if present[-1] != len(present) - 1:
        absent = next(number for number, label in enumerate(present) if number != label)
        raise DataError(
            f"{path}: y_train holds label {present[-1]}, and class {absent} has no image; "
            f"expected every class from 0 on: number the {len(present)} classes 0..{len(present) - 1}"
        )
    return [str(label) for label in present]
