"""DVC's record of who reads and writes which files (`.dvc/tmp/rwlock`), brought back into a state that lets runs begin.

A `kill -9` while DVC writes the file leaves it torn, and every later run refuses it. A killed run that is still a zombie, as happens
in containers without an init, holds its entries for ever, and so does a killed run whose process number was given to another process.
DVC itself only drops entries of processes that are gone.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from flows.processes.dvc_locks import FOLDER, dvc_lock
from flows.processes.watch import is_running

FILE = "rwlock"
CLOCKS_DIFFER_SECONDS = 60.0


def mend_rwlock(root: Path) -> list[str]:
    """Set a torn file aside, and drop the entries of processes that have ended; say what was done.

    Under DVC's own lock for this file: what is torn then stays torn. Nothing is done while another process has that lock.
    """
    from dvc.lock import LockError
    from dvc.rwlock import RWLOCK_LOCK

    path = root / FOLDER / FILE
    if not path.exists():
        return []
    try:
        with dvc_lock(root, RWLOCK_LOCK):
            return _mend(path)
    except LockError:
        return []


def living(path: Path) -> list[tuple[int, str]]:
    """The processes that still run and that such a file names, and their commands; none where it is torn."""
    try:
        written, entries = path.stat().st_mtime, _parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return sorted({(info["pid"], info["cmd"]) for info in _infos(entries) if _runs(info["pid"], written)})


def _mend(path: Path) -> list[str]:
    try:
        entries = _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:  # set aside by another run, while this one waited
        return []
    except ValueError:
        aside = path.with_name(f"{FILE}.torn")
        path.replace(aside)
        return [f"{FOLDER / FILE} was torn, as a kill in the middle of a write leaves it; it now is {FOLDER / aside.name}"]
    written = path.stat().st_mtime
    ended = {(info["pid"], info["cmd"]) for info in _infos(entries) if not _runs(info["pid"], written)}
    if ended:
        _drop(entries, {pid for pid, _ in ended})
        path.write_text(json.dumps(entries), encoding="utf-8")
    return [f"dropped the locks of process {pid} (`{command}`), which has ended" for pid, command in sorted(ended)]


def _parse(text: str) -> dict[str, dict[str, Any]]:
    """The entries: by kind, then by path, one process that writes or a list of those that read."""
    entries = json.loads(text)
    if not (isinstance(entries, dict) and all(isinstance(kind, dict) for kind in entries.values())):
        raise ValueError("not a mapping of mappings")
    for info in _infos(entries):
        if not (isinstance(info, dict) and isinstance(info.get("pid"), int) and isinstance(info.get("cmd"), str)):
            raise ValueError("not a process")  # noqa: TRY004 (as for what is not JSON)
    return entries


def _infos(entries: dict[str, dict[str, Any]]) -> Iterator[Any]:
    for kind in entries.values():
        for info in kind.values():
            yield from info if isinstance(info, list) else [info]


def _drop(entries: dict[str, dict[str, Any]], pids: set[int]) -> None:
    for name, kind in entries.items():
        kept: dict[str, Any] = {}
        for path, info in kind.items():
            left = [item for item in (info if isinstance(info, list) else [info]) if item["pid"] not in pids]
            if left:
                kept[path] = left if isinstance(info, list) else left[0]
        entries[name] = kept


def _runs(pid: int, written: float) -> bool:
    """Whether the process that made an entry still runs; one that began after the file was written did not make it.

    Numbers are given again soon after a restart, above all in containers. Clocks of a file server may differ a little.
    """
    try:
        process = psutil.Process(pid)
        return is_running(process) and process.create_time() < written + CLOCKS_DIFFER_SECONDS
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
