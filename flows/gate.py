"""One stage under DVC, in this process: DVC decides, locks, restores and records; `run_stage` does the work.

DVC's own `Stage.reproduce` is kept whole; only "spawn the command" is replaced by "call the function". That leans on a private
method: pyproject.toml pins DVC's minor version, and the parity tests hold both doors to the same record.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from flows.lineage.journal import Outcome
from flows.stage import run_stage
from tasks.core.errors import ArtifactError, GoodfitError

RETRY_SECONDS = 1.0


class BusyError(GoodfitError):
    """Another process holds the stage's files."""


# The repository's lock polls every half second; between threads of one process a turn is handed over at once.
_turn = threading.Lock()


def pass_gate(
    name: str,
    root: Path = Path(),
    *,
    force: bool = False,
    wait_seconds: float = 600,
    say: Callable[[str], None] = print,
    running: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Outcome:
    """Bring one stage up to date: `unchanged`, `restored` from the run-cache, or `ran`. Its upstream stages are left as they are.

    Args:
        name: the stage in dvc.yaml.
        root: the repository.
        force: run it though nothing changed; ignored for a frozen stage, as DVC would record new parameters against its old output.
        wait_seconds: how long to wait for another process that holds the stage's files.
        say: told once what is being waited for.
        running: a context for the stage's own code, where it may be interrupted; DVC's work around it is short, and is let finish.

    Raises:
        BusyError: the files were still held after `wait_seconds`.
        GoodfitError: the stage failed; dvc.lock is as it was.
    """
    from dvc.lock import LockError

    deadline = time.monotonic() + wait_seconds
    said = False
    while True:
        try:
            return _pass(name, root, force, running)
        except LockError as error:
            if time.monotonic() > deadline:
                raise BusyError(f"{name}: still busy after {wait_seconds:g} s; nothing was changed. {error}") from None
            if not said:
                say(f"{name}: waiting for another run to finish. {error}")
                said = True
            time.sleep(RETRY_SECONDS)


def _pass(name: str, root: Path, force: bool, running: Callable[[], AbstractContextManager[None]]) -> Outcome:
    from dvc.repo import Repo, lock_repo
    from dvc.stage.cache import RunCacheNotFoundError
    from dvc.stage.decorators import rwlocked, unlocked_repo

    outcome: Outcome = "unchanged"

    @rwlocked(read=["deps"], write=["outs"])  # type: ignore[untyped-decorator]
    def restore_or_run(stage: Any, force: bool) -> None:
        nonlocal outcome
        if not force:
            try:
                stage.repo.stage_cache.restore(stage)
            except RunCacheNotFoundError:
                pass
            else:
                outcome = "restored"
                return
        unlocked_repo(run)(stage)  # the repository's lock is free meanwhile, the read-write lock is held
        outcome = "ran"

    def run(_: Any) -> None:
        # Inside, so that the turn comes back before the repository's lock: the order in which everybody takes them.
        with _others_turn(), running():
            run_stage(name, root)

    # One Repo a call and thread: a shared one breaks its lock.
    with _turn, Repo(str(root.resolve()), _wait_for_lock=True) as repo, lock_repo(repo):
        (stage,) = repo.stage.collect(name)
        stage._run_stage = lambda dry, force, **_: restore_or_run(stage, force)
        try:
            changed = stage.reproduce(force=force and not stage.frozen) is not None
        except FileNotFoundError as error:
            if error.filename not in {dep.fs_path for dep in stage.deps}:
                raise
            raise ArtifactError(f"{name}: its input {error.filename} is missing") from None
        if changed:
            stage.dump(update_pipeline=False)
    return outcome


@contextmanager
def _others_turn() -> Iterator[None]:
    _turn.release()
    try:
        yield
    finally:
        _turn.acquire()
