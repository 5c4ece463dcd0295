"""Which files of some folders this process opens, as the Linux kernel tells it (man 7 fanotify); Python's hooks do not see native code.

Since Linux 5.13 it needs no privilege: the kernel tells an ordinary user the id of its own process and 0 for every other. The kernel
says that a file was opened, not for what; whether it could be written is said when it is closed.
"""

import ctypes
import errno
import os
import struct
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# include/uapi/linux/fanotify.h and fcntl.h
INIT = 0x1 | 0x2 | 0xC00  # FAN_CLOEXEC, FAN_NONBLOCK, FAN_REPORT_DFID_NAME: folder and name instead of an open file
ADD = 0x1 | 0x8  # FAN_MARK_ADD, FAN_MARK_ONLYDIR
OPEN, CLOSE_WRITE, CLOSE_NOWRITE, MOVED_TO, CREATE, ON_CHILD, OVERFLOW = 0x20, 0x8, 0x10, 0x80, 0x100, 0x08000000, 0x4000
FOLDER_AND_NAME = 2  # FAN_EVENT_INFO_TYPE_DFID_NAME
AT_FDCWD, AT_HANDLE_FID = -100, 0x200
EVENT, INFO, HANDLE = struct.Struct("=IBBHQii"), struct.Struct("=BBH8x"), struct.Struct("=Ii")
# The kernel keeps 16,384 events: no process opens so many files in this time.
DRAIN_SECONDS = 0.05
BUFFER = 1 << 18


class Fanotify:
    """What this process opens and writes in the folders, from `start` to `stop`; nothing where the system does not tell it."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.opened: set[str] = set()
        self.written: set[str] = set()
        self.only_read: set[str] = set()  # opened for reading alone, and closed again
        self.lost = False  # more was opened at once than the kernel keeps
        self._folders = folders
        self._known: dict[bytes, str] = {}
        self._end = threading.Event()
        self._descriptor = -1

    def start(self) -> None:
        """From now on, where the system can tell it."""
        if sys.platform == "linux":
            with suppress(
                OSError, AttributeError
            ):  # an older kernel, a sandbox, a file system without handles; another C library
                self._begin()

    def stop(self) -> None:
        """Until now; a second time nothing happens."""
        if self._descriptor >= 0:
            self._end.set()
            self._thread.join()
            self._drain()
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = _called(libc.fanotify_init(INIT, os.O_RDONLY))
        try:
            for folder in self._folders:
                path, mask = os.fsencode(folder), OPEN | CLOSE_WRITE | CLOSE_NOWRITE | MOVED_TO | CREATE | ON_CHILD
                with suppress(PermissionError):  # a folder that this process may not read
                    _called(libc.fanotify_mark(descriptor, ADD, ctypes.c_uint64(mask), AT_FDCWD, path))
                    self._known[_handle(libc, path)] = str(folder)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._thread = threading.Thread(target=self._drain_often, name="fanotify", daemon=True)
        self._thread.start()

    def _drain_often(self) -> None:
        while not self._end.wait(DRAIN_SECONDS):
            self._drain()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while events := os.read(self._descriptor, BUFFER):
                self._read(events)

    def _read(self, events: bytes) -> None:
        own, at = os.getpid(), 0
        while at < len(events):
            length, _, _, header, mask, _, pid = EVENT.unpack_from(events, at)
            if mask & OVERFLOW:
                self.lost = True
            elif pid == own:
                self._note(mask, events[at + header : at + length])
            at += length

    def _note(self, mask: int, info: bytes) -> None:
        kind, _, length = INFO.unpack_from(info)
        if kind != FOLDER_AND_NAME:
            return
        size, _ = HANDLE.unpack_from(info, INFO.size)
        end = INFO.size + HANDLE.size + size
        folder = self._known.get(info[INFO.size : end])
        if folder is not None:
            name, _, _ = info[end:length].partition(b"\0")
            path = f"{folder}/{os.fsdecode(name)}"
            if mask & OPEN:
                self.opened.add(path)
            if mask & (CLOSE_WRITE | MOVED_TO | CREATE):
                self.written.add(path)
            if mask & CLOSE_NOWRITE:
                self.only_read.add(path)


def _handle(libc: ctypes.CDLL, path: bytes) -> bytes:
    """The name that the kernel gives the folder in events."""
    room = 128  # MAX_HANDLE_SZ
    mount = ctypes.c_int()
    for flags in (0, AT_HANDLE_FID):  # some file systems have only a handle that cannot be opened
        handle = ctypes.create_string_buffer(HANDLE.pack(room, 0), HANDLE.size + room)
        if libc.name_to_handle_at(AT_FDCWD, path, handle, ctypes.byref(mount), flags) == 0:
            return handle.raw[: HANDLE.size + HANDLE.unpack_from(handle.raw)[0]]
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fsdecode(path))


def _called(result: int) -> int:
    if result < 0:
        found = ctypes.get_errno() or errno.EINVAL
        raise OSError(found, os.strerror(found))
    return result
