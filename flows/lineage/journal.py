"""The journal: when, where and through which door a stage ran. Operational, never evidence; losing it loses no proof."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from flows.git import git_or_none
from flows.lineage.digest import digest_file
from flows.lineage.statement import statement_path

# In DVC's folder for temporary files, which Git ignores in every DVC repository.
JOURNAL = Path(".dvc/tmp/goodfit/journal.jsonl")
Outcome = Literal["ran", "restored", "unchanged", "failed"]
Door = Literal["dvc", "flow"]


@dataclass
class Entry:
    """A line of the journal."""

    stage: str
    door: Door
    started: str
    outcome: Outcome = "failed"
    finished: str = ""
    error: str | None = None
    peak_memory_bytes: int | None = None
    host: str = ""
    commit: str | None = None
    flow_run_id: str | None = None
    scheduled: str | None = None
    statement_md5: str | None = None  # stands in dvc.lock: joins the line to the stage's entry there


# The line that is being written, where this thread's stage runs in another process: that one says how much memory it used.
current: ContextVar["Entry | None"] = ContextVar("current", default=None)


@contextmanager
def journaled(
    root: Path, stage: str, door: Door, flow_run_id: str | None = None, scheduled: str | None = None
) -> Iterator[Entry]:
    """Append a line when the block ends, however it ends; the block sets `outcome`.

    A journal that cannot be written is a warning on stderr: it neither fails the stage nor hides its error.

    The peak of memory is that of the stage's process; None where none was started, and on Windows.
    """
    entry = Entry(stage, door, _now(), flow_run_id=flow_run_id, scheduled=scheduled)
    token = current.set(entry)
    try:
        yield entry
    except BaseException as error:
        entry.outcome, entry.error = "failed", f"{type(error).__name__}: {error}"
        raise
    finally:
        current.reset(token)
        try:
            _complete(root, entry)
            _append(root / JOURNAL, entry)
        except OSError as error:
            print(f"warning: {stage}: no line in {JOURNAL.as_posix()} ({error}); the stage is not affected", file=sys.stderr)


@contextmanager
def journaled_elsewhere(tell: Callable[..., None]) -> Iterator[None]:
    """The stage's process under the gate: the flow writes the line, and needs to be told the peak of memory."""
    try:
        yield
    finally:
        tell(peak_memory_bytes=peak_memory())


def read_journal(root: Path) -> Iterator[dict[str, Any]]:
    """The journal's lines, the oldest first, without those that a killed process left incomplete."""
    try:
        text = (root / JOURNAL).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"stage", "outcome", "started", "finished"} <= entry.keys():
            yield entry


def last_failure(root: Path) -> str | None:
    """The stage that failed last, and why, of those whose last run failed; None where there is none."""
    last: dict[str, dict[str, Any]] = {}
    for entry in read_journal(root):
        last.pop(entry["stage"], None)
        last[entry["stage"]] = entry
    failed = [entry for entry in last.values() if entry["outcome"] == "failed"]
    if not failed:
        return None
    stage, error = failed[-1]["stage"], str(failed[-1].get("error"))
    kind, _, message = error.partition(": ")
    what = "was interrupted" if kind == "KeyboardInterrupt" else "failed: " + message.removeprefix(f"{stage}: ")
    return f"the last run of '{stage}' {what}"


def _complete(root: Path, entry: Entry) -> None:
    statement = root / statement_path(entry.stage)
    entry.finished, entry.host, entry.commit = _now(), socket.gethostname(), _commit(root)
    if entry.door == "dvc":  # this process is the stage's
        entry.peak_memory_bytes = peak_memory()
    entry.statement_md5 = digest_file(statement).md5 if statement.exists() and entry.outcome != "failed" else None


def _append(path: Path, entry: Entry) -> None:
    """One write of one line to a file opened for appending: two doors at once do not mix their lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, (json.dumps(asdict(entry)) + "\n").encode())
    finally:
        os.close(file)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _commit(root: Path) -> str | None:
    """HEAD, with `-dirty` where tracked files differ from it; None outside Git or without its program."""
    described = git_or_none(root, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    return described.decode().strip() if described else None


def peak_memory() -> int | None:
    """The most memory that this process has used, in bytes; None on Windows."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024  # "VmHWM:   13660 kB"
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
