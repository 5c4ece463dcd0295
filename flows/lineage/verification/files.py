"""The bytes of many files, each read once: SHA-256 and MD5, on all cores."""

import hashlib
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from flows.lineage.digest import directory_md5, files_below
from tasks.contracts.statement import Digest

CHUNK = 1 << 20
# Above, a file's two digests are computed side by side: one large file alone should not leave a core idle.
LARGE = 64 << 20
BATCH_FILES, BATCH_BYTES = 256, 16 << 20
MANY = 5_000
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFDIR: "a folder",
}


Found = tuple[str, str, str, int, str]  # name, SHA-256, MD5, size, and what is there instead of a file


class Hashed(NamedTuple):
    """One file: its digest and size, or why it has none."""

    digest: Digest | None
    size: int = 0
    problem: str = ""


class Files:
    """Digests by name, relative to the repository or absolute; a name that is not among them has no file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digests: dict[str, Digest] = {}
        self.sizes: dict[str, int] = {}
        self.problems: dict[str, str] = {}  # what is there instead of a file that can be read
        self.read_files = self.read_bytes = 0
        self.left_out: dict[str, list[str]] = {}  # what .dvcignore leaves out, by the folder in which it lies
        self._below: dict[str, list[str]] = {}
        self._folders: dict[str, str] = {}
        self._links: dict[tuple[int, int], str] = {}

    def below(self, name: str) -> list[str]:
        """The file, or every file in the folder that DVC counts."""
        if name not in self._below:
            left_out = self.left_out.setdefault(name, [])
            self._below[name] = list(files_below(self.root, name, left_out.append))
        return self._below[name]

    def folder_md5(self, name: str) -> str:
        """What dvc.lock should hold for a folder whose files have been hashed."""
        if name not in self._folders:
            self._folders[name] = directory_md5(self.known([name]), Path(name).as_posix())
        return self._folders[name]

    def known(self, names: Iterable[str]) -> dict[str, Digest]:
        """The digests of every file at or below the names."""
        files = (file for name in names for file in self.below(name))
        return {file: self.digests[file] for file in files if file in self.digests}

    def hash(self, names: Iterable[str], advance: "Callable[[int, int], object] | None" = None) -> None:
        """Digest the named files that have not been yet. Links to the same file are read once.

        Args:
            names: files; those that are not there are left out.
            advance: told how many bytes are read, of how many so far.
        """
        wanted, same = self._found(names)
        total = self.read_bytes + sum(size for _, size in wanted)
        for name, found in digests_of(self.root, wanted):
            self._keep(name, found)
            self.read_bytes += found.size
            if advance is not None:
                advance(self.read_bytes, total)
        self.read_files += len(wanted)
        for name, first in same.items():
            self._keep(name, Hashed(self.digests.get(first), self.sizes.get(first, 0), self.problems.get(first, "")))

    def _found(self, names: Iterable[str]) -> tuple[list[tuple[str, int]], dict[str, str]]:
        """The files to read, with their sizes, and the names of the same files."""
        wanted: list[tuple[str, int]] = []
        same: dict[str, str] = {}
        for name in dict.fromkeys(names):
            if name in self.digests or name in self.problems:
                continue
            try:
                about = os.stat(os.path.join(self.root, name))  # noqa: PTH116, PTH118 - a Path for each of 100,000 files takes seconds
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self.problems[name] = f"what cannot be read ({error.strerror})"
                continue
            if not stat.S_ISREG(about.st_mode):
                self.problems[name] = KINDS.get(stat.S_IFMT(about.st_mode), "no file")
                continue
            first = self._links.setdefault((about.st_dev, about.st_ino), name)
            if first != name:
                same[name] = first
            else:
                wanted.append((name, about.st_size))
        return wanted, same

    def _keep(self, name: str, found: Hashed) -> None:
        if found.digest is None:
            self.problems[name] = found.problem
        else:
            self.digests[name], self.sizes[name] = found.digest, found.size


def digests_of(root: Path, wanted: list[tuple[str, int]]) -> Iterator[tuple[str, Hashed]]:
    """Read files side by side, the large ones first; `wanted` has names and sizes."""
    cores = _cores()
    with _pool(cores, len(wanted)) as pool:
        waiting: set[Future[list[Found]]] = set()
        for batch in _batches(sorted(wanted, key=lambda item: -item[1])):
            waiting.add(pool.submit(digest_batch, str(root), batch))
            if len(waiting) >= 4 * cores:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from map(_hashed, future.result())
        for future in waiting:
            yield from map(_hashed, future.result())


def _hashed(found: Found) -> tuple[str, Hashed]:
    name, sha256, md5, size, problem = found
    return name, Hashed(None if problem else Digest(sha256=sha256, md5=md5), size, problem)


def _pool(cores: int, files: int) -> Executor:
    """Threads, or processes for many small files: opening one takes longer than hashing it, and threads of Python do that in turns.

    Forking takes milliseconds, and is safe as long as no other thread holds a lock.
    """
    alone = sys.platform == "linux" and threading.active_count() == 1
    if files < MANY or cores == 1 or not alone:
        return ThreadPoolExecutor(cores)
    return ProcessPoolExecutor(cores, mp_context=get_context("fork"))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _batches(wanted: list[tuple[str, int]]) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for name, size in wanted:
        batch.append(name)
        held += size
        if held >= BATCH_BYTES or len(batch) == BATCH_FILES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def digest_batch(root: str, names: list[str]) -> list[Found]:
    """The digests of some files, one after the other."""
    return [(name, *_digest(os.path.join(root, name))) for name in names]  # noqa: PTH118


def _digest(path: str) -> tuple[str, str, int, str]:
    """SHA-256, MD5, size, and why there are none."""
    try:
        # Not blocking: a FIFO may have taken the place of the file since it was looked at.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        return "", "", 0, f"what cannot be read ({error.strerror})"
    try:
        chunk = os.read(handle, CHUNK)
        if len(chunk) < CHUNK:  # all of it, without a buffer and a second look
            rest = os.read(handle, CHUNK) if chunk else b""
            if not rest:
                sha256, md5 = hashlib.sha256(chunk), hashlib.md5(chunk, usedforsecurity=False)
                return sha256.hexdigest(), md5.hexdigest(), len(chunk), ""
            chunk += rest
        return _long(handle, chunk)
    except OSError as error:
        return "", "", 0, f"what cannot be read ({error.strerror})"
    finally:
        os.close(handle)


def _long(handle: int, chunk: bytes) -> tuple[str, str, int, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size = 0
    if os.fstat(handle).st_size < LARGE:
        while chunk:
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
            chunk = os.read(handle, CHUNK)
    else:
        with ThreadPoolExecutor(1) as other:
            while chunk:
                beside = other.submit(md5.update, chunk)
                sha256.update(chunk)
                size += len(chunk)
                following = os.read(handle, CHUNK)
                beside.result()
                chunk = following
    return sha256.hexdigest(), md5.hexdigest(), size, ""
