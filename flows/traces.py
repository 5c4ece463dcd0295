"""Whether a file was touched, though its bytes are the same: what is changed and put back while a stage reads it.

Writing a file, renaming it, setting its times back: each moves the time of its last change forward (`ctime`), which no program can set.
The number of its inode says nothing beyond that, and some network file systems give a file another one at each look.

Two kinds of files need another rule, or honest runs would fail. DVC may keep a file as a link into its cache (`cache.type`): with each
workspace that comes to share it, and with each output that has the same bytes, DVC touches it as well. Of such a file the time of its
content and its size must stay the same, and of a symbolic link the link itself. And every program that writes into a folder changes the
folder's times: only where a folder was touched and nothing in it came or went was the folder itself moved away and back.

The time of the last reading never matters.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple


class Trace(NamedTuple):
    """When a file or folder was last changed, in nanoseconds."""

    changed: int
    written: int
    size: int
    is_folder: bool
    is_shared: bool  # the file has other names, or is reached through a link
    link_changed: int


def traces(root: Path, names: Iterable[str]) -> dict[str, Trace]:
    """Of files, by path, and of the folders that they lie in, up to the repository.

    Raises:
        FileNotFoundError: a file does not exist.
    """
    files = list(names)
    folders = {parent for folder in {os.path.dirname(file) for file in files} for parent in _with_parents(folder)}  # noqa: PTH120 - fast
    return {name: _trace(root, name) for name in (*files, *folders)}


def touched(before: Mapping[str, Trace], after: Mapping[str, Trace]) -> list[str]:
    """What was changed and put back, of what is in both; sorted."""
    return sorted(name for name in before.keys() & after.keys() if _was_touched(before[name], after[name]))


def _was_touched(before: Trace, after: Trace) -> bool:
    if before.is_folder or after.is_folder:
        return after.changed not in (before.changed, after.written)
    if before.is_shared or after.is_shared:
        return (before.written, before.size, before.link_changed) != (after.written, after.size, after.link_changed)
    return before.changed != after.changed


def _trace(root: Path, name: str) -> Trace:
    path = f"{root}/{name}" if not os.path.isabs(name) else name  # noqa: PTH117 - ten thousand names
    itself = os.lstat(path)
    is_link = stat.S_ISLNK(itself.st_mode)
    found = os.stat(path) if is_link else itself  # noqa: PTH116
    is_folder = stat.S_ISDIR(found.st_mode)
    is_shared = is_link or (found.st_nlink > 1 and not is_folder)
    return Trace(
        found.st_ctime_ns, found.st_mtime_ns, found.st_size, is_folder, is_shared, itself.st_ctime_ns if is_link else 0
    )


def _with_parents(folder: str) -> list[str]:
    """The folder and those above it; none where it is the repository itself or lies outside."""
    parts = Path(folder).parts
    if not parts or parts[0] == ".." or Path(folder).is_absolute():
        return []
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
