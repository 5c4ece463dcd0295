"""The lock of a run: at most one flow run works on a repository, because its overrides stand in params.yaml while it lasts.

The operating system holds the lock for as long as the process lives, so that no kill leaves a stale one. A file beside it lists the
last runs: who held the lock, with which overrides, and which of them stay in params.yaml. Whoever waited reads there what all the runs
before it have left.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from flows.processes.watch import Identity, this_process
from tasks.core.errors import GoodfitError
from tasks.core.files import whole

LOCK = "goodfit-run.lock"
RUNS = "goodfit-run.json"
POLL_SECONDS = 0.2
# How long a process that has just taken the lock may take to say who it is.
NAME_SECONDS = 2.0
LISTED = 50  # runs; more do not wait for one another


@dataclass
class Running:
    """A run that holds the lock, or held it."""

    process: Identity
    since: str
    overrides: list[str]
    left: list[str] = field(default_factory=list)  # the overrides that stay in params.yaml
    ended: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)  # a process may run the pipeline several times

    def __str__(self) -> str:
        changes = f" with {', '.join(self.overrides)}" if self.overrides else ""
        return f"process {self.process.pid}, which has been running this pipeline since {self.since}{changes}"


class RunLock:
    """The lock, while this process holds it."""

    def __init__(self, folder: Path | None, runs: list[Running]) -> None:
        self._folder, self._runs = folder, runs

    def tell_left(self, overrides: Sequence[str]) -> None:
        """Tell the runs that wait which overrides have been written into params.yaml to stay there, however this run ends."""
        self._runs[-1].left = list(overrides)
        self.write()

    def write(self) -> None:
        """Write the list of runs."""
        if self._folder is not None:
            with whole(self._folder / RUNS) as temporary:
                temporary.write_text(json.dumps([_document(run) for run in self._runs[-LISTED:]]), encoding="utf-8")

    def end(self) -> None:
        """Say that the run has ended."""
        self._runs[-1].ended = True
        self.write()


@contextmanager
def run_lock(root: Path, overrides: Sequence[str], say: Callable[[str], None]) -> Iterator[RunLock]:
    """Hold the lock of a run; wait for other runs of the repository, and say whom this one waits for.

    Args:
        root: the folder of the pipeline. Nothing is locked outside a DVC repository, where nothing can run.
        overrides: the changes of params.yaml that the run makes.
        say: told the run that is waited for, and what each run that was waited for has left in params.yaml.

    Raises:
        GoodfitError: the lock is held by a run that this process is a part of, which would wait for it without end.
    """
    this_run = Running(this_process(), datetime.now().astimezone().strftime("%H:%M:%S"), list(overrides))
    folder = _folder(root)
    if folder is None:
        yield RunLock(None, [this_run])
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    _acquire(lock, root, folder, say)
    held = RunLock(folder, [*_read(folder), this_run])
    try:
        held.write()
        yield held
    finally:
        with suppress(OSError):  # such as a full disk: what the run did stands
            held.end()
        lock.release()


def refuse_nested_run(root: Path) -> None:
    """Refuse a run that was started by a stage of another one: each would wait for the other.

    Raises:
        GoodfitError: a process that this one descends from is running the pipeline.
    """
    folder = _folder(root)
    running = _current(folder) if folder else None
    if running is not None and running.process.pid in {process.pid for process in psutil.Process().parents()}:
        raise GoodfitError(
            f"this run was started by a stage of the run that it would have to wait for (process {running.process.pid}, since "
            f"{running.since}); expected one run at a time: let the stage do its own work only, or run the pipelines one after the "
            "other"
        )


def _acquire(lock: FileLock, root: Path, folder: Path, say: Callable[[str], None]) -> None:
    began, current = time.monotonic(), _current(folder)
    earlier = {run.id for run in _read(folder)} - ({current.id} if current else set())
    waits, told = False, ""
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waits = True
        else:
            break
        refuse_nested_run(root)
        current = _current(folder)
        if current is not None and current.id != told:
            told = current.id
            say(f"waiting for {current}; press Ctrl-C to give up")
        elif not told and time.monotonic() - began > NAME_SECONDS:
            told = "unknown"
            say("waiting for another run of this pipeline; press Ctrl-C to give up")
        time.sleep(POLL_SECONDS)
    for run in _read(folder) if waits else []:
        if run.left and run.id not in earlier:
            say(f"the run of process {run.process.pid} has ended; it left {', '.join(run.left)} in params.yaml")


def _current(folder: Path) -> Running | None:
    """The run that holds the lock, if it has said so and lives."""
    runs = _read(folder)
    return runs[-1] if runs and not runs[-1].ended and runs[-1].process.is_alive() else None


def _read(folder: Path) -> list[Running]:
    try:
        documents = json.loads((folder / RUNS).read_text(encoding="utf-8"))
        return [Running(**document | {"process": Identity.parse(document["process"])}) for document in documents]
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or those of another version
        return []


def _document(run: Running) -> dict[str, Any]:
    return asdict(run) | {"process": str(run.process)}


def _folder(root: Path) -> Path | None:
    """DVC's folder for temporary files, which Git ignores."""
    return root / ".dvc" / "tmp" if (root / ".dvc").is_dir() else None
