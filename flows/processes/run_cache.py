"""DVC's run-cache, brought back into a state that it can read.

DVC 3.67 makes the folder of an entry, writes the entry beside its name and renames it. A run that is killed in between leaves a folder
without an entry, and every later run of that stage then ends with a TypeError (dvc/stage/cache.py, `_load`), or with a KeyError where
the unfinished file is YAML as far as it goes.
"""

import shutil
import time
from pathlib import Path

from flows.processes.dvc_locks import dvc_lock
from flows.repository import cache_folder
from tasks.core.errors import ParamsError
from tasks.core.settings import load_yaml

UNFINISHED = ".tmp"
# DVC needs some milliseconds from making the folder to renaming the entry.
WRITING_SECONDS = 0.5


def mend_run_cache(root: Path) -> list[str]:
    """Remove unfinished entries, and folders that hold no finished one; say which.

    DVC holds its lock for the repository while it writes an entry: nothing is removed while another process has that lock.
    """
    from dvc.lock import LockError

    root = root.resolve()
    try:
        with dvc_lock(root):
            return _remove_unfinished(root)
    except LockError:
        return []


def _remove_unfinished(root: Path) -> list[str]:
    found = _unfinished(root)
    if not found:
        return []
    time.sleep(WRITING_SECONDS)  # another repository may share this cache, and have its own lock
    done = []
    for path in sorted(found & _unfinished(root)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path
        done.append(f"removed {shown}, an entry of DVC's run-cache that was not finished")
    return done


def _unfinished(root: Path) -> set[Path]:
    """Folders without a finished entry, and unfinished files beside finished entries: DVC would read the newest file."""
    found: set[Path] = set()
    for folder in (cache_folder(root) / "runs").glob("*/*"):
        if not folder.is_dir():
            continue
        files = set(folder.iterdir())
        unfinished = {file for file in files if not _is_whole(file)}
        found |= unfinished if files - unfinished else {folder}
    return found


def _is_whole(entry: Path) -> bool:
    try:
        return not entry.name.endswith(UNFINISHED) and {"cmd", "outs"} <= load_yaml(entry).keys()
    except ParamsError:
        return False


def remove_entry(file: Path) -> None:
    """Remove an entry, and its folder where it was the only one."""
    file.unlink(missing_ok=True)
    if file.parent.is_dir() and not any(file.parent.iterdir()):
        file.parent.rmdir()
