"""The user's own arrays: an .npz file with x_train and y_train, and x_val, y_val, x_test and y_test if there are any.

Without a test split, `preprocess` draws one from the training rows (`preprocess.test_fraction`).
"""

import shutil
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import DataError
from tasks.core.settings import Section
from tasks.sources.npz import mapped
from tasks.sources.source import Rows, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READS_PATH = True
FILE = "arrays.npz"
KEYS = ("x_train", "y_train")  # required; a validation and a test split are optional
SPLITS = ("train", "val", "test")


class Settings(Section):
    """No options."""


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Check the file at `path` and copy it.

    Raises:
        DataError: it is missing, or holds what cannot be learned from.
    """
    read(path, scratch=raw)
    shutil.copyfile(path, raw / FILE)


def load(settings: Settings, raw: Path) -> Source:
    """Read the copy."""
    return read(raw / FILE, scratch=raw.parent)


def read(path: Path, scratch: Path | None = None) -> Source:
    """Read labels, and map images into memory; those of a compressed archive by way of a file in the folder `scratch`.

    Images are uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3. Labels are whole numbers 0..K-1 (N,), class names (N,),
    or one-hot rows (N, K) of zeros and a one; every class occurs in y_train.

    Raises:
        DataError: each with the array, what was found and what was expected.
    """
    import numpy as np

    arrays = _arrays(path, scratch)
    splits = [split for split in SPLITS if f"x_{split}" in arrays]
    images = {split: _images(path, f"x_{split}", arrays[f"x_{split}"]) for split in splits}
    labels = {split: _labels(path, f"y_{split}", arrays[f"y_{split}"], len(images[split])) for split in splits}
    for split in splits:
        if images[split].shape[1:] != images["train"].shape[1:]:
            raise DataError(
                f"{path}: images of x_{split} are {images[split].shape[1:]} (C, H, W), of x_train {images['train'].shape[1:]}; "
                "expected one shape"
            )
    names = labels["train"].dtype.kind == "U"
    classes = _names(path, labels["train"]) if names else _classes(path, labels["train"])
    rows = {}
    for split in splits:
        if (labels[split].dtype.kind == "U") != names:
            kinds = ("class names", "whole numbers")
            raise DataError(
                f"{path}: y_{split} is {labels[split].dtype}; expected {kinds[0 if names else 1]}, as in y_train: write both alike"
            )
        numbers = _numbered(path, f"y_{split}", labels[split], classes) if names else labels[split]
        _check_range(path, f"y_{split}", numbers, classes)
        rows[split] = Rows(images[split], numbers.astype(np.int64))
    return Source(classes, "row of the arrays", rows["train"], rows.get("val"), rows.get("test"))


def _arrays(path: Path, scratch: Path | None) -> "dict[str, np.ndarray[Any, Any]]":
    import numpy as np

    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is missing"
        raise DataError(f"{path} {found}; expected an .npz file with {', '.join(KEYS)}: set download.path to it")
    # Of an .npy file or a pickle np.load makes something else than an archive.
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path} is not an .npz file, or is incomplete; write it with numpy.savez(path, x_train=…, y_train=…, …)"
        )
    found_arrays, key = {}, "the archive"
    try:
        with np.load(path, allow_pickle=False) as archive:
            optional = [(f"x_{split}", f"y_{split}") for split in ("val", "test")]
            wanted = [*KEYS, *(key for pair in optional if set(pair) & set(archive.files) for key in pair)]
            for key in wanted:
                if key not in archive:
                    names = ", ".join(archive.files) or "nothing"
                    raise DataError(f"{path} has no {key}, only {names}; expected {', '.join(wanted)}")
                found_arrays[key] = mapped(path, key, scratch) if key.startswith("x_") else np.asarray(archive[key])
    except (ValueError, zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        if "Object arrays" in str(error):
            raise DataError(
                f"{path}: {key} holds Python objects, as pickles, which are never run; expected an array of numbers, or of "
                "strings for labels: convert it with astype(str) or numpy.stack"
            ) from None
        raise DataError(f"{path}: {key} is damaged ({error}); write the file again with numpy.savez") from None
    return found_arrays


def _images(path: Path, key: str, array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Any allowed shape as (N, C, H, W)."""
    shapes = "(N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, none of them 0"
    if array.dtype != "uint8":
        raise DataError(f"{path}: {key} is {array.dtype}{_as_bytes(key, array)}")
    if array.ndim not in (3, 4) or array.size == 0:
        raise DataError(f"{path}: {key} has shape {array.shape}; expected {shapes}")
    if array.ndim == 3:
        return array[:, None]
    first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
    if first and last:
        raise DataError(
            f"{path}: {key} has shape {array.shape}: either axis 1 or axis 3 could be the channels; make it (N, H, W) or larger"
        )
    if not first and not last:
        raise DataError(
            f"{path}: {key} has shape {array.shape}: neither axis 1 nor axis 3 can be the channels; expected {shapes}"
        )
    return array.transpose(0, 3, 1, 2) if last else array


def _as_bytes(key: str, array: "np.ndarray[Any, Any]") -> str:
    """The range of images of another type, and how to convert them without loss of scale."""
    if array.dtype.kind not in "fiub" or array.size == 0:
        return "; expected uint8, values 0 to 255"
    low, high = array.min(), array.max()
    found = f" with values from {low} to {high}; expected uint8, values 0 to 255: "
    if array.dtype.kind == "b":
        return found + f"convert it with {key}.astype('uint8') * 255"
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return found + f"convert it with ({key} * 255).round().astype('uint8')"
    if low >= 0 and high <= 255:
        return found + f"convert it with {key}.round().astype('uint8')"
    if array.dtype == "uint16":
        return found + f"convert it with ({key} / 257).round().astype('uint8')"
    return (
        found + "bring it to this range by the scale that it was made with, then round it and convert it with astype('uint8')"
    )


def _labels(path: Path, key: str, labels: "np.ndarray[Any, Any]", images: int) -> "np.ndarray[Any, Any]":
    """Whole numbers or strings (N,)."""
    import numpy as np

    if labels.dtype.kind == "S":
        labels = labels.astype(str)
    if labels.ndim == 2 and labels.dtype.kind in "biuf":
        labels = _of_one_hot(path, key, labels)
    if labels.ndim != 1:
        raise DataError(f"{path}: {key} has shape {labels.shape}; expected one label per image (N,), or one-hot rows (N, K)")
    if labels.dtype.kind not in "iuU":
        raise DataError(
            f"{path}: {key} is {labels.dtype}; expected whole numbers from 0, or class names: convert it with astype('int64')"
        )
    if len(labels) != images:
        raise DataError(f"{path}: {key} has {len(labels)} rows and x{key[1:]} {images} images; expected one label per image")
    if labels.dtype.kind == "U":
        if np.any(labels == ""):
            raise DataError(f"{path}: {key} holds an empty name in row {int(np.argmax(labels == ''))}; expected a class name")
    elif labels.min() < 0:
        raise DataError(f"{path}: {key} holds label {labels.min()} in row {labels.argmin()}; expected whole numbers from 0")
    return labels


def _of_one_hot(path: Path, key: str, rows: "np.ndarray[Any, Any]") -> "NDArray[np.int64]":
    import numpy as np

    wrong = ~(((rows == 0) | (rows == 1)).all(axis=1) & (rows.sum(axis=1) == 1))
    if wrong.any():
        raise DataError(
            f"{path}: {key} has shape {rows.shape}, and row {int(wrong.argmax())} is not one-hot; expected a single 1 among zeros in "
            "each row, or one label per image (N,)"
        )
    numbers: NDArray[np.int64] = rows.argmax(axis=1).astype(np.int64)
    return numbers


def _names(path: Path, labels: "np.ndarray[Any, Any]") -> list[str]:
    """The class names of y_train, sorted."""
    names: list[str] = sorted(set(labels.tolist()))
    if len(names) < 2:
        raise DataError(f"{path}: y_train holds one class only ({names[0]}); expected two or more")
    return names


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


def _numbered(path: Path, key: str, labels: "np.ndarray[Any, Any]", classes: list[str]) -> "NDArray[np.int64]":
    import numpy as np

    unknown = sorted(set(labels.tolist()) - set(classes))
    if unknown:
        raise DataError(f"{path}: {key} holds {', '.join(unknown)}; expected a class of y_train: {', '.join(classes)}")
    return np.searchsorted(np.array(classes), labels)


def _check_range(path: Path, key: str, labels: "np.ndarray[Any, Any]", classes: list[str]) -> None:
    if labels.max() >= len(classes):
        raise DataError(
            f"{path}: {key} holds label {labels.max()} in row {labels.argmax()}; expected a class of y_train, 0..{len(classes) - 1}"
        )
