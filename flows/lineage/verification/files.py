"""The bytes of many files, each read once: SHA-256 and MD5, on all cores."""

import hashlib
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from flows.lineage.digest import directory_md5, files_below
from tasks.contracts.statement import Digest
from tasks.core.cores import cores
from tasks.core.errors import GoodfitError

CHUNK = 1 << 20
# Above, a file's two digests are computed side by side: one large file alone should not leave a core idle.
LARGE = 64 << 20
BATCH_FILES, BATCH_BYTES = 256, 16 << 20
MANY = 5_000
# Not blocking: a FIFO may have taken the place of the file since it was looked at.
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFDIR: "a folder",
}


Found = tuple[str, str, int, str]  # SHA-256, MD5, size, and what is there instead of a file that can be read


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
        for batch, results in digests_of(self.root, wanted):
            sha256, md5, sizes, problems = zip(*results, strict=True)
            self.digests.update(zip(batch, map(Digest, sha256, md5), strict=True))
            self.sizes.update(zip(batch, sizes, strict=True))
            self.read_bytes += sum(sizes)
            for name, problem in zip(batch, problems, strict=True):
                if problem:
                    self.problems[name] = problem
                    del self.digests[name], self.sizes[name]
            if advance is not None:
                advance(self.read_bytes, total)
        self.read_files += len(wanted)
        for name, first in same.items():
            if first in self.problems:
                self.problems[name] = self.problems[first]
            else:
                self.digests[name], self.sizes[name] = self.digests[first], self.sizes[first]

    def _found(self, names: Iterable[str]) -> tuple[list[tuple[str, int]], dict[str, str]]:
        """The files to read, with their sizes, and the names of the same files."""
        wanted: list[tuple[str, int]] = []
        same: dict[str, str] = {}
        below = f"{self.root}{os.sep}"
        for name in dict.fromkeys(names):
            if name in self.digests or name in self.problems:
                continue
            try:
                about = os.stat(name if os.path.isabs(name) else below + name)  # noqa: PTH116, PTH117 - a Path for each of 100,000 files takes seconds
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


def digests_of(root: Path, wanted: list[tuple[str, int]]) -> Iterator[tuple[list[str], list[Found]]]:
    """Read files side by side, the large ones first, and yield names and findings in batches; `wanted` has names and sizes.

    Raises:
        GoodfitError: a process that reads files was ended from outside.
    """
    workers = cores()
    batches = list(_batches(sorted(wanted, key=itemgetter(1), reverse=True)))
    # Forking takes milliseconds, and is safe as long as no other thread holds a lock.
    alone = sys.platform == "linux" and threading.active_count() == 1
    if len(wanted) >= MANY and workers > 1 and alone:
        yield from _by_processes(str(root), batches, workers)
        return
    with ThreadPoolExecutor(workers) as pool:
        running: dict[Future[list[Found]], list[str]] = {}
        for batch in batches:
            running[pool.submit(digest_batch, str(root), batch)] = batch
            if len(running) >= 4 * workers:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        for future, batch in running.items():
            yield batch, future.result()


def _by_processes(root: str, batches: list[list[str]], count: int) -> Iterator[tuple[list[str], list[Found]]]:
    """For many small files: opening one takes longer than hashing it, and threads of Python do that in turns.

    Each process is a fork, which has the names already, and hands back nothing but what it found: a pool of `concurrent.futures` took
    as long to hand names and results around as to hash the files.
    """
    context = get_context("fork")
    shares: dict[Any, Iterator[list[str]]] = {}  # by the end at which each process hands back
    processes = []
    try:
        for number in range(count):
            share = batches[number::count]
            receiver, sender = context.Pipe(duplex=False)
            processes.append(context.Process(target=_hash_share, args=(root, share, sender, [*shares, receiver]), daemon=True))
            processes[-1].start()
            sender.close()  # so that the end of the process is the end of what can be received
            shares[receiver] = iter(share)
        while shares:
            for receiver in cast(list[Any], wait_for(list(shares))):
                names = next(shares[receiver], None)
                if names is None:
                    del shares[receiver]
                    continue
                yield names, _received(receiver)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _hash_share(root: str, batches: list[list[str]], sender: Connection, inherited: list[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the process that waits ends this one
    for receiver in inherited:  # left open, they would keep this process sending after the one that waits was killed
        receiver.close()
    with suppress(BrokenPipeError):  # nobody waits any more
        for batch in batches:
            sender.send(digest_batch(root, batch))


def _received(receiver: Connection) -> list[Found]:
    try:
        found: list[Found] = receiver.recv()
    except (EOFError, OSError):  # between two messages, or within one
        raise GoodfitError("nothing was verified: a process that reads files was ended from outside; verify again") from None
    return found


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
    below = f"{root}{os.sep}"
    return [_digest(name if os.path.isabs(name) else below + name) for name in names]  # noqa: PTH117


def _digest(path: str) -> Found:
    """SHA-256, MD5, size, and why there are none."""
    try:
        handle = os.open(path, READ)
    except OSError as error:
        return "", "", 0, f"what cannot be read ({error.strerror})"
    try:
        chunk = os.read(handle, CHUNK)
        if len(chunk) < CHUNK:  # most files: all of it in one object, if nothing follows
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


def _long(handle: int, chunk: bytes) -> Found:
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
