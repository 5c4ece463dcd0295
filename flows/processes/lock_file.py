"""A `dvc.lock` that a kill left torn while DVC wrote it, replaced by the committed one."""

import shutil
import time
from pathlib import Path

from flows.git import git_or_none
from flows.lineage.lock import LOCK_FILE
from flows.processes.dvc_locks import FOLDER, dvc_lock
from tasks.core.errors import GoodfitError
from tasks.core.files import whole
from tasks.core.settings import load_yaml


def mend_lock_file(root: Path) -> list[str]:
    """Set a torn dvc.lock aside and bring the committed one back; say so.

    What was recorded since that commit is in DVC's run-cache, and the next run restores it from there. A file with Git's conflict
    markers is not torn: a person has to choose. Under DVC's lock for the repository: what is torn then stays torn. Nothing is done
    while another process has that lock.
    """
    from dvc.lock import LockError

    root = root.resolve()
    if not is_torn(root):
        return []
    try:
        with dvc_lock(root):
            return replace_torn(root)
    except LockError:
        return []


def replace_torn(root: Path) -> list[str]:
    """As `mend_lock_file`, for whoever holds DVC's lock already."""
    if not is_torn(root):  # another run may have mended it
        return []
    path = root / LOCK_FILE
    aside = FOLDER / f"{LOCK_FILE}.{time.time_ns()}.torn"
    shutil.copyfile(path, root / aside)
    torn = f"{LOCK_FILE} was torn, as a kill in the middle of a write leaves it; a copy is {aside}"
    committed = git_or_none(root, "show", f"HEAD:./{LOCK_FILE}")
    with whole(path) as temporary:
        temporary.write_bytes(committed or b"")
        usable = committed is not None and _is_readable(temporary)
    if not usable:
        path.unlink()
        return [f"{torn}, and the next run writes another"]
    return [f"{torn}, and the committed one is back: the next run restores what DVC's run-cache holds of later runs"]


def is_torn(root: Path) -> bool:
    """Whether there is a dvc.lock that DVC would not read; torn in the right place it is still YAML."""
    path = root / LOCK_FILE
    if not path.exists() or "<<<<<<<" in path.read_text(encoding="utf-8", errors="replace"):
        return False
    return not _is_readable(path)


def _is_readable(path: Path) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(load_yaml(path))
    except (GoodfitError, Invalid):
        return False
    return True
