"""The user's own images: a folder for each class, or `train/` and `test/` (and `val/`) of such folders.

Images may have any size and mode; `tasks.sources.images` states how they are decoded, and `preprocess.image` what they become.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.core.errors import DataError
from tasks.core.settings import Section
from tasks.sources.own_files import copy_images, read_left_out, write_left_out
from tasks.sources.source import Rows, Source

READS_PATH = True
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}  # in any case
EXPECTED = "expected one sub-folder per class (cat/1.png, dog/7.png), or train/ and test/ that hold such folders"
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}  # of Windows, in any case; those of macOS and Linux are hidden (.DS_Store)
Listing = list[tuple[str, int]]  # an image's path below the folder and its class number, sorted by class, then by name


class Settings(Section):
    skip_unreadable: bool = False  # leave out files that are not readable images, and count them, rather than stop


@dataclass(frozen=True)
class Listed:
    """The class names, and the files of each split; without split folders all are `train`."""

    classes: list[str]
    splits: dict[str, Listing]


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Check every image under `path` and copy it under the same name; files beside the class folders are not copied.

    Raises:
        DataError: the folder is missing, or holds what cannot be learned from; all unreadable files are named at once.
    """
    found = listed(path)
    ignored = system_files(path)
    if ignored:
        print(f"download: hidden and system files that are ignored: {len(ignored)}, such as {ignored[0]}")
    names = [name for listing in found.splits.values() for name, _ in listing]
    left_out = copy_images(path, names, raw, settings.skip_unreadable)
    for split, listing in found.splits.items():
        kept = {label for name, label in listing if name not in left_out}
        for label, name in enumerate(found.classes):
            if label not in kept:
                raise DataError(
                    f"{path}: no image of class '{name}' in {split} can be read; expected one or more: replace them"
                )
    write_left_out(raw, left_out)


def load(settings: Settings, raw: Path) -> Source:
    """List the copied images.

    Raises:
        ArtifactError: nothing was copied.
        DataError: the copies are no longer as they were written.
    """
    left_out = read_left_out(raw)
    found = listed(raw)
    splits = {split: _rows(raw, listing) for split, listing in found.splits.items()}
    unit = "image file, sorted by class folder and name"
    return Source(found.classes, unit, splits["train"], splits.get("val"), splits.get("test"), unreadable=len(left_out))


def listed(folder: Path) -> Listed:
    """The classes and the files, in an order that does not depend on the disk.

    Raises:
        DataError: the folder is missing, or its folders are not laid out as expected.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "is missing"
        raise DataError(f"{folder} {found}; {EXPECTED}: set download.path to that folder")
    if not any(name.casefold() == "train" and _folders(folder / name) for name in _folders(folder)):
        classes = _classes(folder)
        return Listed(classes, {"train": _files(folder, "", classes)})
    splits = _split_folders(folder)
    classes = _classes(folder / splits["train"])
    for name in splits.values():
        odd = sorted(set(classes) ^ set(_classes(folder / name)))
        if odd:
            raise DataError(
                f"{folder}: classes in only one of {splits['train']}/ and {name}/: {', '.join(odd)}; "
                "expected the same class folders in both"
            )
    return Listed(classes, {split: _files(folder, f"{name}/", classes) for split, name in splits.items()})


def _split_folders(folder: Path) -> dict[str, str]:
    """The folder of each split, in the order train, val, test."""
    names = _folders(folder)
    others = [name for name in names if name.casefold() not in SPLITS]
    if others:
        raise DataError(
            f"{folder} holds {', '.join(others)} beside train/; only train/, val/ and test/ are supported: move or remove the others"
        )
    splits: dict[str, str] = {}
    for split in ("train", "val", "test"):
        found = [name for name in names if SPLITS[name.casefold()] == split]
        if len(found) > 1:
            raise DataError(f"{folder} holds {' and '.join(found)}; expected one folder for the split {split}: merge them")
        if found:
            splits[split] = found[0]
    return splits


def _visible(folder: Path) -> list[Path]:
    # A folder's own order differs between machines.
    return sorted((path for path in folder.iterdir() if not _of_the_system(path)), key=lambda path: path.name)


def _of_the_system(path: Path) -> bool:
    """Whether a file or folder is hidden or was written by a file manager, and so is not an image or a class."""
    return path.name.startswith(".") or path.name.casefold() in SYSTEM_FILES


def system_files(folder: Path) -> list[str]:
    """The hidden and system files among the images, as paths below `folder`; what lies in a hidden folder is not looked at."""
    found = []
    for path in sorted(folder.iterdir()):
        if _of_the_system(path):
            found += [path.name] if path.is_file() else []
        elif path.is_dir():
            found += [f"{path.name}/{name}" for name in system_files(path)]
    return found


def _folders(folder: Path) -> list[str]:
    return [path.name for path in _visible(folder) if path.is_dir()]


def _classes(folder: Path) -> list[str]:
    classes = _folders(folder)
    if len(classes) < 2:
        raise DataError(
            f"{folder} holds {len(classes)} class folders ({', '.join(classes) or 'none'}); {EXPECTED}, two or more"
        )
    return classes


def _files(folder: Path, prefix: str, classes: list[str]) -> Listing:
    listing: Listing = []
    for label, name in enumerate(classes):
        inside = _visible(folder / f"{prefix}{name}")
        nested = next((path for path in inside if path.is_dir()), None)
        if nested:
            raise DataError(f"{nested} is a folder inside a class; {EXPECTED}")
        if not inside:
            raise DataError(
                f"{folder / prefix / name} holds no image; expected one or more in each class: add some, or remove the folder"
            )
        listing += [(f"{prefix}{name}/{path.name}", label) for path in inside]
    return listing


def _rows(raw: Path, listing: Iterable[tuple[str, int]]) -> Rows:
    import numpy as np

    names, labels = zip(*listing, strict=True)
    return Rows([raw / name for name in names], np.array(labels, dtype=np.int64), paths=names)
