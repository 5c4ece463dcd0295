"""What a stage opens while it runs: Python's own audit events (PEP 578), and on Linux what the kernel tells of native readers.

Nothing is forbidden here, and nothing judged (flows/undeclared.py does that). A process that the stage starts is not watched.
"""

import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Self

from flows.executed import is_installed
from flows.processes.fanotify import Fanotify

# Written beside the source while Python code runs.
BYTECODE = "__pycache__"


class Watch:
    """Watches this process from the block's begin to `stop`, or else to its end.

    `read` holds the absolute path of what was opened for reading before this process wrote it. `lost` says that more was opened at once
    than the kernel remembers, so that a native reader may have been overlooked.

    Args:
        root: the repository, whose folders are watched for native readers as well.
        known: folders, relative to it, that need not be watched: all in them is an input, or an output.
    """

    def __init__(self, root: Path, known: Collection[str]) -> None:
        self.read: set[str] = set()
        self._written: set[str] = set()
        self.lost = False
        self._native = Fanotify(_folders(root, set(known)))

    def __enter__(self) -> Self:
        global _current, _hooked  # noqa: PLW0603 - a hook is for the whole process, and stays
        if not _hooked:
            sys.addaudithook(_hook)
            _hooked = True
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
        # The kernel does not say for what a file was opened: one that was written too is taken for an output.
        self.read |= self._native.opened - self._native.written - self._written
        self.lost = self._native.lost

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event; it must be quick, as it is called for every one, and raise nothing, as that would fail the stage."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and isinstance(flags, int):
                name = _absolute(path)
                if not flags & os.O_WRONLY and not _makes(name, flags) and name not in self._written:
                    self.read.add(name)
                if flags & (os.O_WRONLY | os.O_RDWR):
                    self._written.add(name)
        elif event == "os.rename":
            path = arguments[1]
            if isinstance(path, str | bytes):
                self._written.add(_absolute(path))
        elif event == "ctypes.dlopen":
            path = arguments[0]
            if isinstance(path, str | bytes) and os.path.dirname(path):  # noqa: PTH120 - a name alone is looked for in the system
                self.read.add(_absolute(path))


_current: Watch | None = None
_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _current is not None:
        _current.note(event, arguments)


def _makes(name: str, flags: int) -> bool:
    """Whether this opening empties the file or makes a new one."""
    return bool(flags & (os.O_TRUNC | os.O_EXCL)) or bool(flags & os.O_CREAT and not os.path.lexists(name))


def _absolute(path: str | bytes) -> str:
    name = os.fsdecode(path)
    return name if name.startswith("/") else os.path.abspath(name)  # noqa: PTH100 - thousands of names; the links are kept


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
