"""Both digests of many files, SHA-256 and MD5, in one reading and on all cores."""

import hashlib
import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from operator import itemgetter
from typing import Any, cast

from flows.lineage.digest import AT_ONCE, CHUNK
from tasks.core.cores import cores
from tasks.core.errors import GoodfitError

# Above, a file's two digests are computed side by side: one large file alone should not leave a core idle.
LARGE = 64 << 20
BATCH_FILES, BATCH_BYTES = 256, 16 << 20
MANY = 5_000

Found = tuple[str, str, int, str]  # SHA-256, MD5, size, and what is there instead of a file that can be read


def forks_pay(files: int) -> bool:
    """Whether to read so many files by `digests_by_forks`.

    To open a small file takes longer than to hash it, and threads of Python do that in turns. Forking takes milliseconds, and is safe
    as long as no other thread holds a lock.
    """
    return files >= MANY and cores() > 1 and sys.platform == "linux" and threading.active_count() == 1


def digests_by_threads(root: str, wanted: list[tuple[str, int]]) -> Iterator[tuple[list[str], list[Found]]]:
    """Read files side by side, the large ones first, and yield names and findings in batches; `wanted` has names and sizes."""
    workers = cores()
    with ThreadPoolExecutor(workers) as pool:
        running: dict[Future[list[Found]], list[str]] = {}
        for batch in _batches(sorted(wanted, key=itemgetter(1), reverse=True)):
            running[pool.submit(digest_batch, root, batch)] = batch
            if len(running) >= 4 * workers:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        for future, batch in running.items():
            yield batch, future.result()


def digests_by_forks(root: str, names: list[str]) -> Iterator[tuple[list[str], list[Found | None]]]:
    """Read files side by side, and yield names and findings in batches.

    None stands where a name is a link, is one of several names of a file, is that of a large file, or names no file: all of this is
    left to the caller. Whether a folder around it is a link is not asked.

    Each process is a fork, which has the names already, and hands back nothing but what it found: a pool of `concurrent.futures` took
    as long to hand names and results around as to hash the files.

    Raises:
        GoodfitError: a process that reads files was ended from outside.
    """
    context, count = get_context("fork"), cores()
    batches = [names[start : start + BATCH_FILES] for start in range(0, len(names), BATCH_FILES)]
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
                batch = next(shares[receiver], None)
                if batch is None:
                    del shares[receiver]
                    continue
                yield batch, _received(receiver)
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
            sender.send([digest_of_one_name(os.path.join(root, name)) for name in batch])  # noqa: PTH118 - as below


def _received(receiver: Connection) -> list[Found | None]:
    try:
        found: list[Found | None] = receiver.recv()
    except (EOFError, OSError):  # between two messages, or within one
        raise GoodfitError("nothing was verified: a process that reads files was ended from outside; verify again") from None
    return found


def digest_of_one_name(path: str) -> Found | None:
    """As `digest_batch`, of a file that has no other name and is not large; None of everything else."""
    try:
        about = os.lstat(path)
    except (OSError, ValueError):  # ValueError: no file can have such a name
        return None
    return _digest(path) if stat.S_ISREG(about.st_mode) and about.st_nlink == 1 and about.st_size < LARGE else None


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
    return [_digest(os.path.join(root, name)) for name in names]  # noqa: PTH118 - not a Path for each of 100,000


def _digest(path: str) -> Found:
    """SHA-256, MD5, size, and why there are none."""
    try:
        handle = os.open(path, AT_ONCE)  # a FIFO may have taken the place of the file since it was looked at
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
