"""The journal: when, where and through which door a stage ran. Operational, never evidence; losing it loses no proof."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from flows.lineage.digest import digest_file
from flows.lineage.statement import FOLDER, statement_path

JOURNAL = FOLDER / "journal.jsonl"
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


@contextmanager
def journaled(
    root: Path, stage: str, door: Door, flow_run_id: str | None = None, scheduled: str | None = None
) -> Iterator[Entry]:
    """Append a line when the block ends, however it ends; the block sets `outcome`.

    A journal that cannot be written is a warning on stderr: it neither fails the stage nor hides its error.

    The peak of memory is the process's since the block began, where the system can start it anew (Linux); elsewhere since the process
    began, and None on Windows. Stages side by side in one process (the flow's evaluate and diagnose) share it: each line has the peak
    of both together since the later of them began.
    """
    entry = Entry(stage, door, _now(), flow_run_id=flow_run_id, scheduled=scheduled)
    _reset_peak_memory()
    try:
        yield entry
    except BaseException as error:
        entry.outcome, entry.error = "failed", f"{type(error).__name__}: {error}"
        raise
    finally:
        try:
            _complete(root, entry)
            _append(root / JOURNAL, entry)
        except OSError as error:
            print(f"warning: {stage}: no line in {JOURNAL.as_posix()} ({error}); the stage is not affected", file=sys.stderr)


def _complete(root: Path, entry: Entry) -> None:
    statement = root / statement_path(entry.stage)
    entry.finished, entry.host, entry.commit = _now(), socket.gethostname(), _commit(root)
    entry.peak_memory_bytes = _peak_memory()
    entry.statement_md5 = digest_file(statement).md5 if statement.exists() and entry.outcome != "failed" else None


def _append(path: Path, entry: Entry) -> None:
    """One write of one line to a file opened for appending: two doors at once do not mix their lines."""
    path.parent.mkdir(exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, (json.dumps(asdict(entry)) + "\n").encode())
    finally:
        os.close(file)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _commit(root: Path) -> str | None:
    """HEAD, with `-dirty` where tracked files differ from it; None outside Git or without its program."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        described = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return described.stdout.strip() or None


def _reset_peak_memory() -> None:
    """Start VmHWM anew (man 5 proc: 5 in clear_refs); where that cannot be done, the peak stays the process's."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int | None:
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
