"""What a stage opens while it runs: Python's own audit events (PEP 578), and on Linux what the kernel tells of native readers.

Nothing is forbidden here, and nothing judged (flows/undeclared.py does that). A process that the stage starts is not watched.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from flows.executed import is_installed
from flows.processes.fanotify import Fanotify

# Written beside the source while Python code runs.
BYTECODE = "__pycache__"


class Watch:
    """Watches this process from the block's begin to `stop`, or else to its end.

    `read` holds the absolute path of what was opened for reading, without what this process itself had emptied or made. `moved` holds
    the former path of what was renamed though this process had not made it: its new name says nothing of where it comes from. `lost`
    says that more was opened at once than the kernel remembers, so that a native reader may have been overlooked.

    Args:
        root: the repository, whose folders are watched for native readers as well.
        known: folders, relative to it, that need not be watched: all in them is an input, or an output.
    """

    def __init__(self, root: Path, known: Collection[str]) -> None:
        self.read: set[str] = set()
        self.moved: set[str] = set()
        self._made: set[str] = set()
        self._added_to: set[str] = set()  # opened for writing alone, with the content that it had
        self.lost = False
        self._root = root
        self._begun = 0
        self._native = Fanotify(_folders(root, set(known)))

    def __enter__(self) -> Self:
        global _current, _hooked  # noqa: PLW0603 - a hook is for the whole process, and stays
        if not _hooked:
            sys.addaudithook(_hook)
            _hooked = True
        with tempfile.TemporaryFile(dir=self._root) as file:  # by the clock of this file system
            self._begun = os.fstat(file.fileno()).st_ctime_ns
        self._native.start()
        _current = self
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, for whoever wants to look at what was found within the block."""
        global _current  # noqa: PLW0603
        _current = None
        self._native.stop()
        # The kernel does not say for what a file was opened: one that only native code wrote is taken for an output, as that may have
        # emptied it. One that Python added to is not, if it was also opened for reading alone.
        unwritten = self._native.opened - self._native.written - self._added_to
        self.read |= (unwritten | (self._native.only_read & self._added_to)) - self._made
        self.lost = self._native.lost

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event; it must be quick, as it is called for every one, and raise nothing, as that would fail the stage."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and isinstance(flags, int):
                self._note_opening(_absolute(path), flags)
        elif event in ("os.rename", "os.link"):
            before, after, *folders = arguments
            if isinstance(before, str | bytes) and isinstance(after, str | bytes):
                self._note_moving(event, *map(_absolute, (before, after), folders))
        elif event == "ctypes.dlopen":
            path = arguments[0]
            if isinstance(path, str | bytes) and os.path.dirname(path):  # noqa: PTH120 - a name alone is looked for in the system
                self.read.add(_absolute(path))

    def _note_opening(self, name: str, flags: int) -> None:
        if _makes(name, flags):
            self._made.add(name)
        elif flags & os.O_WRONLY:
            self._added_to.add(name)
        elif name not in self._made:
            self.read.add(name)

    def _note_moving(self, event: str, before: str, after: str) -> None:
        """A link keeps the old name, so that the file itself can still be looked at."""
        if before not in self._made and self._was_there(before):
            (self.moved if event == "os.rename" else self.read).add(before)
        if not os.path.isdir(before):  # noqa: PTH112 - of a folder each file counts by itself
            self._made.add(after)

    def _was_there(self, name: str) -> bool:
        """Whether this is a file from before the watch began: native code may have made one since, which the hook never saw."""
        try:
            found = os.lstat(name)
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(found.st_mode) and (found.st_ctime_ns < self._begun or name in self._added_to)


_current: Watch | None = None
_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _current is not None:
        _current.note(event, arguments)


def _makes(name: str, flags: int) -> bool:
    """Whether this opening empties the file or makes a new one."""
    return bool(flags & (os.O_TRUNC | os.O_EXCL)) or bool(flags & os.O_CREAT and not os.path.lexists(name))


def _absolute(path: str | bytes, folder: int = -1) -> str:
    """A path as a whole one; a relative one begins in the folder of this descriptor, or without it in the current folder."""
    name = os.fsdecode(path)
    if name.startswith("/"):
        return name
    if folder >= 0:
        with suppress(OSError):  # where there is no /proc
            name = f"{os.readlink(f'/proc/self/fd/{folder}')}/{name}"  # noqa: PTH115
    return os.path.abspath(name)  # noqa: PTH100 - thousands of names; the links are kept


def _folders(root: Path, known: set[str], below: str = "") -> Iterator[Path]:
    """The folders in which an undeclared file may lie; not those that begin with a dot, among them Git's and DVC's."""
    folder = root / below
    yield folder
    if (
        folder.stat().st_nlink == 2
    ):  # itself and `.`: most file systems count a folder's folders here, and to list 40,000 files takes long
        return
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except PermissionError:
        return
    for name in names:
        inner = f"{below}/{name}" if below else name
        if (
            inner not in known
            and name != BYTECODE
            and not name.startswith(".")
            and not is_installed(root, f"{root / inner}{os.sep}")
        ):
            yield from _folders(root, known, inner)
