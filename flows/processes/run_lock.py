"""The lock of a run: at most one flow run works on a repository, because its overrides stand in params.yaml while it lasts.

The operating system holds the lock for as long as the process lives, so that no kill leaves a stale one. A file beside it says who
holds it and with which overrides.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from flows.processes.watch import Identity, this_process
from tasks.core.files import whole

LOCK = "goodfit-run.lock"
HOLDER = "goodfit-run.json"
POLL_SECONDS = 0.2
# How long a process that has just taken the lock may take to say who it is.
NAME_SECONDS = 2.0


@dataclass(frozen=True)
class Running:
    """The run that holds the lock."""

    process: Identity
    since: str
    overrides: list[str]
    kept: bool  # whether its overrides stay in params.yaml

    def __str__(self) -> str:
        changes = f" with {', '.join(self.overrides)}" if self.overrides else ""
        return f"process {self.process.pid}, which has been running this pipeline since {self.since}{changes}"


@contextmanager
def run_lock(root: Path, overrides: Sequence[str], kept: bool, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a run; wait for another run of the repository, and say whom this one waits for.

    Args:
        root: the folder of the pipeline. Nothing is locked outside a DVC repository, where nothing can run.
        overrides: the changes of params.yaml that the run makes.
        kept: whether they stay when it has ended.
        say: told the run that is waited for, and what it has left in params.yaml.
    """
    folder = _folder(root)
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    _acquire(lock, folder, say)
    try:
        _write(folder, Running(this_process(), datetime.now().astimezone().strftime("%H:%M:%S"), list(overrides), kept))
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, folder: Path, say: Callable[[str], None]) -> None:
    began, told = time.monotonic(), False
    other: Running | None = None
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            pass
        else:
            break
        named = _read(folder)
        if named is not None and named.process.is_alive() and (not told or named != other):
            other, told = named, True
            say(f"waiting for {other}; press Ctrl-C to give up")
        elif not told and time.monotonic() - began > NAME_SECONDS:
            told = True
            say("waiting for another run of this pipeline; press Ctrl-C to give up")
        time.sleep(POLL_SECONDS)
    if other is not None and other.overrides and other.kept:
        say(f"the run of process {other.process.pid} has ended; it left {', '.join(other.overrides)} in params.yaml")


def _read(folder: Path) -> Running | None:
    try:
        document = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return Running(Identity.parse(document["process"]), document["since"], document["overrides"], document["kept"])
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or that of another version
        return None


def _write(folder: Path, running: Running) -> None:
    document = vars(running) | {"process": str(running.process)}
    with whole(folder / HOLDER) as temporary:
        temporary.write_text(json.dumps(document), encoding="utf-8")


def _folder(root: Path) -> Path | None:
    """DVC's folder for temporary files, which Git ignores."""
    return root / ".dvc" / "tmp" if (root / ".dvc").is_dir() else None
