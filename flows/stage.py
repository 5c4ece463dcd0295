"""Run one stage: seal its inputs, call it, write its statement. `python -m flows.stage NAME` is every stage's `cmd` in dvc.yaml.

Plain DVC hashes dependencies after the run: an edit during the run would be recorded against the old output. Hence the seal.
"""

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.checkpoints import checkpoint_file
from flows.declaration import Declaration, read_declaration, read_params, require_stage
from flows.executed import Executed, builder_files, executed, loose_files, used_by_builder
from flows.lineage.packages import imported, loaded
from flows.lineage.statement import write_statement
from flows.lineage.variables import fix_threads, variables
from flows.parameters.apart import params_checked_apart
from flows.parameters.checking import check_params, stage_params
from flows.processes.leaving import collect_rarely, leave
from flows.processes.locks import stage_lock
from flows.processes.watch import DVC_VARIABLE, LEADER_VARIABLE, Identity, end_now, end_with_leader
from flows.reads import Watch
from flows.repository import require_project
from flows.sealing import Seal, differences, seal
from flows.shadows import refuse_shadows
from flows.sources import compiled
from flows.undeclared import judge
from tasks.core.components import Choice
from tasks.core.errors import ArtifactError, GoodfitError, ParamsError
from tasks.core.progress import events_pipe
from tasks.core.settings import PARAMS_FILE, Section


class InputsChangedError(GoodfitError):
    """A declared input changed while the stage was running."""


class UndeclaredCodeError(GoodfitError):
    """The stage would run code that dvc.yaml does not declare."""


def run_stage(
    name: str,
    root: Path = Path(),
    leader: Identity | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Run the stage in this process, in the repository at `root`; whoever calls decides whether it has to run, and records it.

    Args:
        name: the stage in dvc.yaml.
        root: the repository.
        leader: the process that decided to run it. Without it nothing is written or removed any more.
        say: told which other process is being waited for or was ended.

    Raises:
        GoodfitError: the parameters are not valid, an input is missing or changed meanwhile, or the stage says what is wrong. The
            stage's outputs are gone then: no partial output stays behind.
    """
    root = root.resolve()
    require_stage(root, name)  # a stage that does not exist has no lock
    with stage_lock(root, name, leader, say):
        used = used_by_builder(root)
        refuse_shadows(root)
        document = read_params(root)  # the only reading: what is checked here is what is sealed and what the stage is handed
        declared = read_declaration(root, name, document)
        with Watch(root, {*declared.deps, *declared.outs}) as watch:
            with params_checked_apart(root, document):
                prepared = _prepare(root, declared, document)
            try:
                # DVC has removed them, but an orphan may have written until it lost the lock.
                remove_outputs(root, declared)
                with checkpoint_file(root, name, prepared.sealed.files, prepared.resolved):
                    prepared.function(prepared.params, root)
                    watch.stop()
                    _require(leader)
                    _refuse_changed(root, prepared)
                    if watch.lost:
                        say(f"{name}: too many files were opened at once to watch them all; an undeclared input may be unseen")
                    _write_statement(root, prepared, executed(root, used), watch)
            except BaseException:
                _require(leader)
                remove_outputs(root, declared)
                raise


@dataclass(frozen=True)
class _Prepared:
    """A stage that is about to run."""

    declared: Declaration
    params: Section
    resolved: dict[str, Any]
    function: Callable[[Section, Path], None]
    variables: dict[str, str]
    sealed: Seal


def _prepare(root: Path, declared: Declaration, document: dict[str, Any]) -> _Prepared:
    params = stage_params(declared, document)
    _require_declared_components(declared, params)
    function = _function(declared.name, root)
    found = variables()
    fix_threads(getattr(params, "threads", 1))
    sealed = seal(root, declared, document)
    stale = stale_code(root, sealed)
    if stale:
        raise InputsChangedError(
            f"{declared.name}: changed since this process read it: {', '.join(stale)}; start the run again"
        )
    return _Prepared(declared, params, params.model_dump(mode="json"), function, found, sealed)


def _refuse_changed(root: Path, prepared: _Prepared) -> None:
    again = seal(root, prepared.declared, read_params(root), again=True)
    changed = sorted({*differences(prepared.sealed, again), *stale_code(root, prepared.sealed)})
    if changed:
        raise InputsChangedError(
            f"{prepared.declared.name}: changed while it ran: {', '.join(changed)}; nothing was recorded: run it again"
        )


def _write_statement(root: Path, prepared: _Prepared, code: Executed, watch: Watch) -> None:
    """Refuse what is undeclared, and record the rest."""
    declared, sealed = prepared.declared, prepared.sealed
    libraries = imported(file for file in code.files if file.suffix == ".py" and not file.is_relative_to(root / "flows"))
    loose = [name for name, distributions in libraries.items() if not distributions]
    undeclared = judge(root, declared, sealed.inputs, code, watch.read, moved=watch.moved, loose=loose_files(root, loose))
    write_statement(
        root,
        declared,
        sealed.inputs,
        sealed.params,
        prepared.resolved,
        variables=prepared.variables,
        undeclared=undeclared.files,
        builder=builder_files(root, code, sealed.files),
        packages=loaded(prepared.resolved, undeclared.packages, chain.from_iterable(libraries.values())),
    )


def assist(name: str, root: Path) -> None:
    """Train beside the first process that torchrun started: that one locks, seals, writes and records, this one only computes.

    Raises:
        GoodfitError: the parameters are not valid, the stage is another one, or the stage says what is wrong.
    """
    if name != "train":
        raise GoodfitError(f"{name} runs in one process, and torchrun has started several; only train runs in several")
    root = root.resolve()
    document = read_params(root)
    declared = read_declaration(root, name, document)
    check_params(root, document)
    _function(name, root)(stage_params(declared, document), root)


def stale_code(root: Path, sealed: Seal) -> list[str]:
    """The sealed source files that this process compiled from other bytes; what it does is not what they say."""
    sources = {file: (digest.sha256, digest.md5) for file, digest in sealed.files.items() if file.endswith(".py")}
    return [file for file, digests in sources.items() if compiled.get((root / file).resolve(), digests) != digests]


def remove_outputs(root: Path, declared: Declaration) -> None:
    """Remove what the stage declares to write, but not what it is to find again (`persist: true`)."""
    for name in declared.outs:
        path = root / name
        if name in declared.persistent:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _require(leader: Identity | None) -> None:
    """End this process where its leader has ended: another run may have begun."""
    if leader is not None and not leader.is_alive():
        end_now()


def _require_declared_components(declared: Declaration, params: Section) -> None:
    for choice in _choices(params):
        file = f"{choice.package.replace('.', '/')}/{choice.name}.py"
        if not any(file == dep or file.startswith(f"{dep}/") for dep in declared.deps):
            raise UndeclaredCodeError(
                f"{declared.name}: would run {file}, which is not among its `deps` in dvc.yaml, so that an edit of that file "
                "would not run the stage again; `make deps` adds it"
            )


def _choices(value: Any) -> Iterator[Choice]:
    """Every component that parameters choose."""
    if isinstance(value, Choice):
        yield value
        yield from _choices(value.settings)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _choices(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _choices(item)


def _function(name: str, root: Path) -> Any:
    """The function `name` of `tasks/<name>.py`, of this repository and of no other."""
    module = import_module(f"tasks.{name}")
    found = Path(str(module.__file__)).resolve()
    if found.parent != root / "tasks":
        raise GoodfitError(
            f"the code that would run lies in {found.parent.parent}, the pipeline in {root}; "
            "activate that folder's own .venv, or start it there with `python -m flows.cli`"
        )
    return getattr(module, name)


def main(arguments: list[str]) -> int:
    """The command: exit code 0 when the stage ran, 1 with a message when it did not, 2 for a wrong call, 130 for Ctrl-C."""
    if len(arguments) != 1:
        print("usage: python -m flows.stage NAME", file=sys.stderr)
        return 2
    name, root = arguments[0], Path.cwd()
    leader = end_with_leader()
    _hear_interrupts()
    try:
        if int(os.environ.get("RANK", "0")) > 0:
            assist(name, root)
            return 0
        require_project(root)  # elsewhere the journal would be left behind
        with _journal(root, name) as entry:
            run_stage(name, root, leader, lambda line: print(line, flush=True))
            if entry:
                entry.outcome = "ran"
    except (GoodfitError, OSError) as error:
        message = advised(error, name)
        _tell(error=message)
        print(f"error: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: {name} wrote nothing", file=sys.stderr)
        return 130
    except Exception as error:
        _tell(error=f"{name}: {type(error).__name__}: {error}")
        raise
    return 0


def advised(error: Exception, name: str) -> str:
    """The message of a stage's error, with the commands to type: the stage's own code does not know them."""
    message = str(error)
    writer = re.search(r"run the stage '([\w.-]+)' again", message)
    if isinstance(error, ArtifactError) and writer:
        return f"{message}. `dvc checkout` brings back what the last run wrote, `dvc repro -f {writer[1]}` runs '{writer[1]}' again"
    if isinstance(error, ParamsError) and os.environ.get(DVC_VARIABLE):
        return (
            f"{message}\nThe outputs of '{name}' were removed before it could check this: correct the file and run again, or bring "
            f"back those of the last run with `git checkout {PARAMS_FILE}` and `dvc checkout {name}`"
        )
    return message


def _hear_interrupts() -> None:
    """SIGTERM ends a stage as Ctrl-C does, with its outputs removed.

    Ctrl-C is heard even where this process inherited that it is ignored, as a script's background jobs do: the gate sends it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if os.environ.get(LEADER_VARIABLE):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _journal(root: Path, name: str) -> AbstractContextManager[Any]:
    """A line of the journal; under the gate the flow writes it, and is told the peak of memory."""
    from flows.lineage.journal import journaled, journaled_elsewhere

    if os.environ.get(LEADER_VARIABLE):
        return journaled_elsewhere(_tell)
    return journaled(root, name, door="dvc")


def _tell(**event: Any) -> None:
    """Tell the gate, where it listens."""
    pipe = events_pipe()
    if pipe is not None:
        with suppress(OSError):
            os.write(pipe, (json.dumps(event) + "\n").encode())


if __name__ == "__main__":
    collect_rarely()
    leave(main(sys.argv[1:]))
