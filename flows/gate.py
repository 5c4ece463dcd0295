"""One stage under DVC: DVC decides, locks, restores, starts the stage's command and records what came of it.

All of DVC's `Stage.reproduce` is kept. Only how the command is started is ours (`dvc.stage.run.cmd_run`), so that its output, its
progress and its end are known. pyproject.toml pins DVC's minor version, and the parity tests hold both doors to the same record.
"""

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.lineage import journal
from flows.lineage.digest import digest_file, digest_paths
from flows.lineage.journal import Outcome
from flows.lineage.lock import LOCK_FILE
from flows.lineage.record import misrecorded, sealed_by_statement
from flows.lineage.statement import statement_path
from flows.parameters.checking import COMMAND
from flows.processes.lock_file import mend_lock_file
from flows.processes.locks import end_orphan, is_held
from flows.processes.run_cache import forget_newest, mend_run_cache, remove_damaged, remove_entry
from flows.processes.running import Ended, allow_stages, end_stages, run_command, stages_are_ending
from flows.processes.rwlock import mend_rwlock
from flows.processes.unfinished import unfinished_by_dvc
from flows.processes.watch import WATCHED_RUN
from flows.repository import PIPELINE_FILE
from tasks.contracts.statement import Digest
from tasks.core.errors import ArtifactError, GoodfitError

__all__ = ["BusyError", "DamagedError", "RecordError", "StageFailedError", "allow_stages", "end_stages", "pass_gate"]

RETRY_SECONDS = 1.0
INTERRUPTED = 130
# Python writes it beside the source while a command runs: it is no input.
BYTECODE = "__pycache__"


class BusyError(GoodfitError):
    """Another process holds the stage's files."""


class DamagedError(GoodfitError):
    """A file that DVC works with cannot be read."""


class StageFailedError(GoodfitError):
    """The stage's command ended with an error; the message is the stage's own."""


class RecordError(GoodfitError):
    """What DVC was about to record is not what the stage read and wrote."""


# The repository's lock polls every half second; between threads of one process a turn is handed over at once.
_turn = threading.Lock()


def pass_gate(
    name: str,
    root: Path = Path(),
    *,
    force: bool = False,
    wait_seconds: float = 600,
    say: Callable[[str], None] = print,
    output: Callable[[str], None] | None = None,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Bring one stage up to date: `unchanged`, `restored` from the run-cache, or `ran`. Its upstream stages are left as they are.

    Args:
        name: the stage as DVC names it: `train`, `train@a`, `folder/dvc.yaml:train`.
        root: the repository.
        force: run it though nothing changed; ignored for a frozen stage, as DVC would record new parameters against its old output.
        wait_seconds: how long to wait for another process that holds the stage's files.
        say: told what is being waited for, and what was mended.
        output: told each line that the stage prints, while it runs; with None the stage prints where this process does.
        progress: told each event of the stage's progress (see tasks/core/progress.py).
        environment: added to the variables of the stage's process.

    Raises:
        BusyError: the files were still held after `wait_seconds`.
        DamagedError: a file of DVC's is damaged, and it could not be mended here; the message says what mends it.
        StageFailedError: the stage failed; dvc.lock is as it was.
        GoodfitError: an input is missing or changed while the stage ran; dvc.lock is as it was.
        KeyboardInterrupt: the stage was interrupted.
    """
    from dvc.lock import LockError
    from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError
    from dvc.utils.serialize import YAMLFileCorruptedError
    from dvc.utils.strictyaml import YAMLValidationError

    root = root.resolve()
    tries = _Tries(name, root, wait_seconds, say)
    while True:
        ended = end_orphan(root, name)
        if ended:
            say(ended)
        passage = _Passage(name, root, force, say, output, progress, environment or {})
        try:
            return passage.pass_through()
        except (LockError, RWLockFileCorruptedError, RWLockFileFormatError) as error:
            tries.wait(error)
        except (YAMLFileCorruptedError, YAMLValidationError) as error:
            tries.mend_lock_file(error)
        except (KeyError, TypeError):
            # DVC's run-cache, unless the command has run already.
            if passage.ran or not tries.mend_run_cache():
                raise
        except sqlite3.DatabaseError as error:
            raise DamagedError(
                f"{name}: DVC's database of this repository is damaged ({error}); run `goodfit doctor`"
            ) from None


class _Tries:
    """What is done between one try to pass the gate and the next; each method returns where another try may succeed."""

    def __init__(self, name: str, root: Path, wait_seconds: float, say: Callable[[str], None]) -> None:
        self._name, self._root, self._say = name, root, say
        self._wait_seconds, self._deadline = wait_seconds, time.monotonic() + wait_seconds
        self._said_waiting = self._mended_in_vain = False

    def wait(self, error: Exception) -> None:
        """Mend the lock that another process left, or wait for the one that holds it.

        Raises:
            BusyError: it has been waited for long enough.
            KeyboardInterrupt: the stages of this process are ended meanwhile.
        """
        if self._mend(mend_rwlock):
            return
        reason = str(error).partition("\n\n")[0]  # without DVC's advice to remove the file by hand
        if time.monotonic() > self._deadline:
            raise BusyError(
                f"{self._name}: still busy after {self._wait_seconds:g} s; nothing was changed. {reason}\n"
                "If that process should not be running, end it; `goodfit doctor` clears up what it leaves behind"
            ) from None
        if not self._said_waiting:
            self._say(f"{self._name}: waiting for another run to finish. {reason}")
            self._said_waiting = True
        time.sleep(RETRY_SECONDS)
        if stages_are_ending():
            raise KeyboardInterrupt from None

    def mend_lock_file(self, error: Exception) -> None:
        """Bring back a dvc.lock that a kill left torn, once.

        Raises:
            DamagedError: it is still damaged, or the damaged file is another one.
        """
        if LOCK_FILE in str(error) and not self._mended_in_vain:
            self._mend(mend_lock_file)
            self._mended_in_vain = True
            return
        cure = "run `goodfit doctor`" if LOCK_FILE in str(error) else "correct the file"
        raise DamagedError(f"{self._name}: {error}; {cure}") from None

    def mend_run_cache(self) -> bool:
        """Remove damaged entries of the run-cache; whether to try again. Another thread may have mended it: one more try is free."""
        again = self._mend(mend_run_cache) or not self._mended_in_vain
        self._mended_in_vain = True
        return again

    def _mend(self, mend: Callable[[Path], list[str]]) -> bool:
        """Mend something, and say what; whether there was anything to mend."""
        with _turn:  # between threads of one process DVC's locks do not wait in order
            lines = mend(self._root)
        for line in lines:
            self._say(f"{self._name}: {line}")
        return bool(lines)


@dataclass
class _Passage:
    """One call of the gate."""

    name: str
    root: Path
    force: bool
    say: Callable[[str], None]
    output: Callable[[str], None] | None
    progress: Callable[[Mapping[str, Any]], None] | None
    environment: Mapping[str, str]
    ran: bool = False
    sealed: "_ForeignSeal | None" = field(default=None)

    def pass_through(self) -> Outcome:
        from dvc.repo import Repo, lock_repo

        # One Repo for each call and thread: a shared one breaks its lock. It must wait for the lock after the command has run;
        # before, it is asked for with a limit.
        with _turn, Repo(str(self.root), _wait_for_lock=True) as repo:
            _probe(repo)
            with lock_repo(repo):
                stage = find_stage(repo, self.name)
                self._clear_up(stage)
                force = self.force or self._is_misrecorded(stage)
                with _spawning(self):
                    changed = self._reproduce(stage, force and not stage.frozen)
                if not changed:
                    return "unchanged"
                self._check_record(stage)
                stage.dump(update_pipeline=False)
        return "ran" if self.ran else "restored"

    def _clear_up(self, stage: Any) -> None:
        """Remove what a killed run of DVC has left beside the outputs in this repository, whose lock this one holds."""
        for folder in {Path(out.fs_path).parent for out in stage.outs if out.is_in_repo}:
            for file in unfinished_by_dvc(folder):
                file.unlink()
                self.say(f"{self.name}: removed {file.relative_to(self.root)}, which an interrupted run had not finished")

    def _is_misrecorded(self, stage: Any) -> bool:
        """Whether plain `dvc repro` has recorded other inputs or outputs than the stage read and wrote; DVC finds it unchanged."""
        own = statement_path(self.name)
        recorded = next((out.hash_info.value for out in stage.outs if out.def_path == own.as_posix()), None)
        path = self.root / own
        if not (is_own(stage) and path.is_file() and digest_file(path).md5 == recorded):
            return False  # that of another run says nothing of this record; a folder in its place is a changed output
        try:
            found = misrecorded(self.root, stage)
        except GoodfitError:
            return False  # a damaged statement is a changed output to DVC
        if found:
            self.say(
                f"{self.name}: {LOCK_FILE} does not record what the stage read and wrote ({', '.join(found)}): something changed in "
                "the moment in which DVC recorded it; running it again"
            )
            _forget_run(stage)
        return bool(found)

    def _reproduce(self, stage: Any, force: bool) -> bool:
        """DVC's own logic; whether the stage had changed."""
        from dvc.dependency.base import DependencyDoesNotExistError

        try:
            return stage.reproduce(force=force) is not None
        except (FileNotFoundError, DependencyDoesNotExistError) as error:
            missing = error.filename if isinstance(error, FileNotFoundError) else error.path
            if not any(dep.fs_path == missing or str(dep) == str(missing) for dep in stage.deps):
                raise
            raise ArtifactError(f"{self.name}: its input {missing} is missing") from None
        except BaseException as error:
            # Our stages remove their outputs themselves, unless they were killed; those of another command stay for its author to
            # look at, as with `dvc repro`.
            killed = self.ran and is_own(stage) and not is_held(self.root, self.name)
            if (killed or isinstance(error, RecordError)) and stage.repo.lock.is_locked:
                stage.remove_outs(ignore_remove=False, force=False)
            raise

    def spawn(self, stage: Any, run_env: Mapping[str, str] | None) -> None:
        """Run the stage's command lines as DVC would, but as processes that are known.

        Raises:
            StageFailedError: one of them failed.
            KeyboardInterrupt: it was interrupted, or no stage may start now.
        """
        from dvc.stage.run import _enforce_cmd_list, _make_cmd, get_executable, prepare_kwargs

        self.ran = True
        with _others_turn():
            self.sealed = None if is_own(stage) else _ForeignSeal(stage)
            options = prepare_kwargs(stage, run_env=run_env)
            variables = {**options.pop("env"), **self.environment}
            # The python of the stage's command is this one, whether or not its environment was activated.
            variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
            watched = [] if is_own(stage) else [sys.executable, "-P", WATCHED_RUN]  # our stages watch this process themselves
            for command in _enforce_cmd_list(stage.cmd):
                started = [*watched, *_make_cmd(get_executable(), command)]
                self._conclude(command, run_command(started, variables, self.output, self.progress, **options))
        if self.sealed:
            self._refuse_changed(stage, "while it ran")

    def _conclude(self, command: str, ended: Ended) -> None:
        entry = journal.current.get()
        if entry is not None:
            entry.peak_memory_bytes = ended.events.get("peak_memory_bytes")
        if ended.code == 0:
            return
        if ended.code in (INTERRUPTED, -signal.SIGINT) or stages_are_ending():
            raise KeyboardInterrupt
        raise StageFailedError(_failure(self.name, command, ended))

    def _refuse_changed(self, stage: Any, when: str) -> None:
        """Refuse what a command of somebody else's made, if an input is no longer what it was before."""
        changed = self.sealed.changes(stage) if self.sealed else []
        if changed:
            raise RecordError(f"{self.name}: changed {when}: {', '.join(changed)}; nothing was recorded: run it again")

    def _check_record(self, stage: Any) -> None:
        """Refuse a record that is not what the stage sealed, and take back what DVC has already stored of it.

        Raises:
            RecordError: an input or output changed between the stage's end and DVC's hashing.
        """
        try:
            if is_own(stage):
                found = misrecorded(self.root, stage)
                if not self.ran:
                    self._refuse_other_run(stage, found)
                if found:
                    raise RecordError(
                        f"{self.name}: what DVC was about to record is not what the stage read and wrote: {', '.join(found)}; nothing "
                        "was recorded: run it again"
                    )
            else:
                self._refuse_changed(stage, "while DVC recorded it")
        except GoodfitError:
            _forget_run(stage)
            stage.remove_outs(ignore_remove=False, force=False)
            raise

    def _refuse_other_run(self, stage: Any, found: list[str]) -> None:
        """Refuse what DVC's cache brought back, if the statement that it brought says otherwise; the next run does not find it again.

        DVC believes an entry of its run-cache, and an object whose size and mtime are those that it noted.

        Raises:
            RecordError: the entry or an object is not what DVC wrote.
        """
        sealed = sealed_by_statement(self.root, self.name)
        found = found or remove_damaged(self.root, sealed.outputs or {})
        if found:
            forget_newest(Path(stage.repo.stage_cache.cache_dir), _key(stage))
            raise RecordError(
                f"{self.name}: DVC's cache restored bytes that the stage never wrote: {', '.join(found)}; the damaged entry was "
                "removed from the cache, and nothing was recorded: run it again"
            )


def find_stage(repo: Any, name: str) -> Any:
    """A stage by its name relative to the repository, from whatever folder this is called.

    Raises:
        DvcException: there is no such stage.
    """
    file, separator, own_name = name.rpartition(":")
    return repo.stage.load_one(path=str(Path(repo.root_dir) / (file if separator else PIPELINE_FILE)), name=own_name)


def is_own(stage: Any) -> bool:
    """Whether a stage runs `flows.stage`, which seals itself."""
    return bool(stage.cmd == f"{COMMAND}{stage.name}" and stage.path_in_repo == PIPELINE_FILE)


class _ForeignSeal:
    """What a command of somebody else's is about to read, as the gate seals it: local inputs byte for byte, and parameters.

    Inputs on another machine are left to DVC.
    """

    def __init__(self, stage: Any) -> None:
        self._before = self._read(stage)

    def changes(self, stage: Any) -> list[str]:
        """The inputs that are no longer what they were."""
        now = self._read(stage)
        return sorted(key for key in self._before.keys() | now.keys() if self._before.get(key) != now.get(key))

    @staticmethod
    def _read(stage: Any) -> dict[str, Any]:
        from dvc.dependency import ParamsDependency

        root = Path(stage.repo.root_dir)
        found: dict[str, Digest | Any] = {}
        for dep in stage.deps:
            if isinstance(dep, ParamsDependency):
                found |= {f"{dep.def_path}: {key}": value for key, value in dep.read_params().items()}
            elif dep.protocol == "local" and Path(dep.fs_path).exists():
                files = digest_paths(root, [os.path.relpath(dep.fs_path, root)])
                found |= {file: digest for file, digest in files.items() if BYTECODE not in Path(file).parts}
        return found


def _failure(name: str, command: str, ended: Ended) -> str:
    """What a stage said of its failure; of another command its last lines, where they were read."""
    if "error" in ended.events:
        message = str(ended.events["error"])
        return message if message.startswith(f"{name}:") else f"{name}: {message}"
    killed_by = _signal_of(ended.code)
    how = f"was ended by {_signal_name(killed_by)}" if killed_by else f"ended with exit code {ended.code}"
    said = "\n".join(["", *(f"  {line}" for line in ended.last_lines)]) if ended.last_lines else " (its messages are above)"
    return f"{name}: `{command}` {how}{said}"


def _signal_of(code: int) -> int | None:
    """The signal that ended a command; a shell that waits for it reports 128 and the signal's number, as dash does.

    129 is not taken for SIGHUP: it is the exit code of many programs for a wrong call, Git's among them.
    """
    if code < 0:
        return -code
    return code - 128 if 129 < code < 128 + signal.NSIG else None


def _signal_name(number: int) -> str:
    try:
        found = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{found} (often the system's, when memory runs out)" if found == "SIGKILL" else found


def _forget_run(stage: Any) -> None:
    """Remove from DVC's run-cache the run that the stage, as DVC has it, was recorded with."""
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    value = _get_cache_hash(to_single_stage_lockfile(stage))
    remove_entry(Path(stage.repo.stage_cache._get_cache_path(_key(stage), value)))


def _probe(repo: Any) -> None:
    """Ask for the repository's lock with DVC's limit of 3 s, and give it back.

    Raises:
        LockError: another process holds it.
    """
    from dvc.lock import make_lock

    hardlink = repo.config["core"].get("hardlink_lock", False)
    with make_lock(str(Path(repo.tmp_dir) / "lock"), tmp_dir=repo.tmp_dir, hardlink_lock=hardlink):
        pass


def _key(stage: Any) -> str:
    """The name of the folder of the run-cache in which DVC looks for runs of the stage, as DVC has it.

    Not by `_get_stage_hash`, which hashes the inputs that lie here now. Where DVC stores no runs, there is no such folder.
    """
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    return str(_get_cache_hash(to_single_stage_lockfile(stage), key=True))


_passage: ContextVar[_Passage | None] = ContextVar("passage", default=None)
_replacing = threading.Lock()


@contextmanager
def _spawning(passage: _Passage) -> Iterator[None]:
    """In this thread and block, DVC starts commands through `passage`; everywhere else as it always does."""
    _replace_cmd_run()
    token = _passage.set(passage)
    try:
        yield
    finally:
        _passage.reset(token)


def _replace_cmd_run() -> None:
    import dvc.stage.run as module

    with _replacing:
        original = module.cmd_run
        if getattr(original, "of_the_gate", False):
            return

        def cmd_run(stage: Any, dry: bool = False, run_env: Mapping[str, str] | None = None) -> None:
            passage = _passage.get()
            if passage is None or dry:
                original(stage, dry=dry, run_env=run_env)
            else:
                passage.spawn(stage, run_env)

        cmd_run.of_the_gate = True  # type: ignore[attr-defined]
        module.cmd_run = cmd_run


@contextmanager
def _others_turn() -> Iterator[None]:
    """Let other threads pass while the command runs; DVC has given back the repository's lock, and takes it again after the turn."""
    _turn.release()
    try:
        yield
    finally:
        _turn.acquire()
