"""Copies of a user's image files, each checked to be readable; the files that are not are all named at once."""

from collections.abc import Sequence
from pathlib import Path

from tasks.core.errors import DataError
from tasks.core.files import missing, read_json, write_json
from tasks.core.progress import Progress
from tasks.sources.images import ImageError, decode, in_order, named

# In `data/raw`: the files that were left out, with the reason of each.
LEFT_OUT = "unreadable.json"


def copy_images(folder: Path, names: Sequence[str], target: Path, skip_unreadable: bool) -> dict[str, str]:
    """Copy the image files `names` of `folder` to the same names below `target`; give those left out, with the reason of each.

    Raises:
        DataError: some cannot be read, and `skip_unreadable` is not set; or a name cannot be written down.
    """
    strange = [ascii(name) for name in names if name.encode(errors="replace").decode() != name]
    if strange:
        raise DataError(f"{folder}: file names that are not UTF-8 ({len(strange)}):\n{named(strange)}\nrename these files")
    left_out: dict[str, str] = {}
    several = 0
    with Progress("download", len(names), "image") as progress:
        for name, outcome in zip(names, in_order(lambda name: _copied(folder / name, target / name), names), strict=True):
            if isinstance(outcome, ImageError):
                left_out[name] = str(outcome)
            else:
                several += outcome > 1
            progress.advance()
    if left_out and not skip_unreadable:
        raise DataError(
            f"{folder}: {len(left_out)} of {len(names)} files cannot be read as images:\n"
            f"{named([f'{name}: {reason}' for name, reason in left_out.items()])}\n"
            "replace or remove them, or set download.dataset.skip_unreadable to true to leave them out"
        )
    if left_out:
        print(f"download: left out {len(left_out)} of {len(names)} files, which cannot be read as images:")
        print(named([f"{name}: {reason}" for name, reason in left_out.items()]))
    if several:
        print(f"download: files with several frames or pages: {several}; the first of each is used")
    return left_out


def write_left_out(raw: Path, left_out: dict[str, str]) -> None:
    """Keep what was left out beside the copies, where there is any."""
    if left_out:
        write_json(raw / LEFT_OUT, left_out)


def read_left_out(raw: Path) -> dict[str, str]:
    """What was left out when the files were copied.

    Raises:
        ArtifactError: nothing was copied, or the list is damaged.
    """
    if not raw.is_dir():
        raise missing(raw, "download")
    found: dict[str, str] = read_json(raw / LEFT_OUT, "download") if (raw / LEFT_OUT).exists() else {}
    return found


def _copied(source: Path, target: Path) -> int | ImageError:
    """The number of frames of an image file, which was copied, or why it was not. What is checked is what is written."""
    try:
        content = source.read_bytes()
    except OSError as error:
        return ImageError(error.strerror or type(error).__name__)
    try:
        frames = decode(content).frames
    except ImageError as error:
        return error
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return frames
