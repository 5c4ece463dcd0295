"""The lock of a stage: at most one process works on a stage's outputs, and an orphan is ended.

The operating system holds the lock for as long as the process lives, so that no kill leaves a stale one. A file beside it says who
holds it.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from flows.processes.watch import Identity, this_process
from tasks.core.errors import GoodfitError

FOLDER = Path(".dvc/tmp/goodfit")
POLL_SECONDS = 0.05
# DVC lets no second run begin a stage that is being run; who holds the lock this long was started by hand, or hangs.
WAIT_SECONDS = 60.0
# How long a process that was just started may take to say who it is, and one that was just killed to go.
GRACE_SECONDS = 5.0


class StageBusyError(GoodfitError):
    """Another process is working on the stage's outputs."""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock of a stage; `leader` is None where a person started it."""

    process: Identity
    leader: Identity | None
    since: str

    def is_orphan(self) -> bool:
        """Whether it still runs though the run that started it has ended."""
        return self.process.is_alive() and self.leader is not None and not self.leader.is_alive()

    def __str__(self) -> str:
        by = f", started by process {self.leader.pid}" if self.leader else ""
        return f"process {self.process.pid}{by} (since {self.since})"


@contextmanager
def stage_lock(
    root: Path, stage: str, leader: Identity | None, say: Callable[[str], None], wait_seconds: float = WAIT_SECONDS
) -> Iterator[None]:
    """Hold the lock of a stage; end an orphan that holds it, and wait for anyone else.

    Raises:
        StageBusyError: a process whose own run is alive still holds it after `wait_seconds`.
    """
    path = _lock_path(root, stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    _acquire(lock, root, stage, say, time.monotonic() + wait_seconds)
    try:
        _write_holder(root, stage, Holder(this_process(), leader, datetime.now(UTC).isoformat(timespec="seconds")))
        yield
    finally:
        _holder_path(root, stage).unlink(missing_ok=True)
        lock.release()


def read_holder(root: Path, stage: str) -> Holder | None:
    """Who holds the lock of a stage, or held it when it was killed."""
    try:
        document = json.loads(_holder_path(root, stage).read_text(encoding="utf-8"))
        leader = document["leader"]
        return Holder(Identity(**document["process"]), Identity(**leader) if leader else None, document["since"])
    except (OSError, ValueError, KeyError, TypeError):  # none, or killed while it wrote
        return None


def is_held(root: Path, stage: str) -> bool:
    """Whether a process holds the lock of a stage."""
    return is_locked(_lock_path(root, stage))


def is_locked(path: Path) -> bool:
    """Whether a process holds the operating system's lock of a file."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def held_stages(root: Path) -> list[str]:
    """The stages whose lock some process holds."""
    return [file.stem for file in sorted((root / FOLDER).glob("*.lock")) if is_held(root, file.stem)]


def end_orphan(root: Path, stage: str) -> str | None:
    """End the process that holds the lock of a stage, if the run that started it has ended; say which that was."""
    holder = read_holder(root, stage)
    if holder is None or not holder.is_orphan():
        return None
    _kill(holder.process)
    return f"{stage}: ended process {holder.process.pid}, which was left over from a run that has ended (since {holder.since})"


def _acquire(lock: FileLock, root: Path, stage: str, say: Callable[[str], None], deadline: float) -> None:
    said = False
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            pass
        else:
            return
        ended = end_orphan(root, stage)
        if ended:
            say(ended)
            continue
        holder = read_holder(root, stage)
        if time.monotonic() > deadline:
            raise StageBusyError(
                f"{stage}: {holder or 'another process'} is still working on its outputs; nothing was changed. "
                "Wait until it has finished or end it, then run the stage again"
            )
        if not said and holder is not None and holder.process.is_alive():
            say(f"{stage}: waiting for {holder}, which is working on its outputs")
            said = True
        time.sleep(POLL_SECONDS)


def _kill(process: Identity) -> None:
    """Kill a process and wait until it has gone, which frees its locks."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _write_holder(root: Path, stage: str, holder: Holder) -> None:
    path = _holder_path(root, stage)
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    temporary.replace(path)


def _lock_path(root: Path, stage: str) -> Path:
    return root / FOLDER / f"{stage}.lock"


def _holder_path(root: Path, stage: str) -> Path:
    return root / FOLDER / f"{stage}.json"
