"""`goodfit doctor`: find what killed runs left behind, and mend what can be mended without losing anything."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.declaration import read_declaration
from flows.lineage.lock import LOCK_FILE
from flows.lineage.record import check_record
from flows.lineage.verification.runs import remove_contradicted
from flows.parameters.checking import own_stages
from flows.processes.dvc_locks import dvc_lock
from flows.processes.lock_file import replace_torn
from flows.processes.locks import end_orphan, held_stages, read_holder
from flows.processes.run_cache import mend_run_cache
from flows.processes.rwlock import mend_rwlock
from flows.processes.unfinished import unfinished_by_dvc
from flows.repository import PIPELINE_FILE
from tasks.core.errors import GoodfitError
from tasks.core.settings import PARAMS_FILE, load_yaml

# What `tasks.core.files.whole` and the download write to before they rename it, and what the download keeps while it does so.
ENDINGS = ("partial", "old")


def mend(root: Path) -> list[str]:
    """Mend the repository; return one line for each thing that was done, and for each that was found but left alone.

    Processes of this repository whose run has ended are killed, DVC's record of locks is brought up to date, a damaged database of
    DVC (it only remembers what files were hashed to) is set aside, a torn dvc.lock is replaced by the committed one, and partial files
    are removed. Files that hold anybody's work are only named; so are stages that plain `dvc repro` has not recorded as they ran.
    """
    root = root.resolve()
    lines = [line for stage in held_stages(root) if (line := end_orphan(root, stage))]
    busy = held_stages(root)
    lines += [f"{stage}: {read_holder(root, stage) or 'a process'} is working on it: left alone" for stage in busy]
    lines += mend_rwlock(root)
    lines += mend_run_cache(root)
    lines += _mend_under_the_lock(root, busy)
    unreadable = list(_unreadable(root))
    return [*lines, *(unreadable or check_record(root))]


def _mend_under_the_lock(root: Path, busy: list[str]) -> list[str]:
    """Mend what DVC writes while it holds the repository's lock: what is torn then stays torn."""
    from dvc.lock import LockError

    try:
        with dvc_lock(root):
            lines = [*replace_torn(root), *_mend_databases(root)]
            return lines if list(_unreadable(root)) else [*lines, *_remove_leftovers(root, busy), *remove_contradicted(root)]
    except LockError:
        return ["another DVC command is using this repository: its lock file and databases were left alone"]


def _unreadable(root: Path) -> Iterator[str]:
    """Files that everything starts from, and that cannot be read; Git has them."""
    for name in (PIPELINE_FILE, PARAMS_FILE, LOCK_FILE):
        path = root / name
        if not path.exists() and not _is_needed(root, name):
            continue
        try:
            load_yaml(path)
        except (GoodfitError, OSError) as error:
            yield f"{error}: left alone; `git checkout {name}` brings back the committed one"


def _is_needed(root: Path, name: str) -> bool:
    """Whether the repository cannot do without a file: dvc.lock comes with the first run, and only our stages need params.yaml."""
    if name == LOCK_FILE:
        return False
    try:
        return name == PIPELINE_FILE or bool(own_stages(root))
    except (GoodfitError, OSError):  # dvc.yaml cannot be read; it is named itself
        return False


def _remove_leftovers(root: Path, busy: list[str]) -> list[str]:
    """Remove what killed stages had not finished writing."""
    lines = []
    for stage in own_stages(root):
        if stage in busy:
            continue
        for out in read_declaration(root, stage).outs:
            path = root / out
            found = [path.with_name(f".{path.name}.{ending}") for ending in ENDINGS]
            found += [file for ending in ENDINGS for file in path.rglob(f".*.{ending}")] if path.is_dir() else []
            found += unfinished_by_dvc(path.parent)
            for leftover in filter(os.path.lexists, found):
                if leftover.is_dir() and not leftover.is_symlink():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()
                lines.append(f"removed {leftover.relative_to(root).as_posix()}, which stage '{stage}' had not finished")
    return lines


def _mend_databases(root: Path) -> list[str]:
    """Set DVC's damaged databases aside: with one, every command of DVC fails."""
    lines = []
    for database in sorted(_state_folder(root).rglob("*.db")):
        if not _is_sound(database):
            aside = database.with_name(f"{database.name}.damaged")
            database.replace(aside)
            for journal in ("-wal", "-shm"):
                database.with_name(database.name + journal).unlink(missing_ok=True)
            lines.append(f"DVC's database {database} was damaged; it now is {aside.name}, and DVC will make another")
    return lines


def _is_sound(database: Path) -> bool:
    try:
        with closing(sqlite3.connect(database)) as connection:
            return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False


def _state_folder(root: Path) -> Path:
    """Where DVC keeps this repository's databases. With a damaged one it cannot be asked: so it is asked with empty ones."""
    from dvc.dirs import site_cache_dir
    from dvc.repo import Repo

    with (
        TemporaryDirectory() as empty,
        _without_variable("DVC_SITE_CACHE_DIR"),
        Repo(str(root), config={"core": {"site_cache_dir": empty}}) as repo,
    ):
        name = Path(repo.site_cache_dir).name
    return Path(site_cache_dir(_core(root).get("site_cache_dir"))) / "repo" / name


def _core(root: Path) -> dict[str, str]:
    from dvc.config import Config

    return dict(Config(str(root / ".dvc"))["core"])


@contextmanager
def _without_variable(name: str) -> Iterator[None]:
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value
