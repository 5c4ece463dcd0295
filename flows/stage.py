"""Run one stage: seal its inputs, call it, write its statement. `python -m flows.stage NAME` is every stage's `cmd` in dvc.yaml.

Plain DVC hashes dependencies after the run: an edit during it would be recorded against the old output. Hence the seal.
"""

import shutil
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from flows.declaration import Declaration, read_declaration
from flows.lineage.digest import Digest, digest_paths
from flows.lineage.statement import write_statement
from flows.params import check_params, picked, stage_params
from flows.process import collect_rarely, leave
from flows.sources import compiled
from tasks.core.errors import ArtifactError, GoodfitError
from tasks.core.settings import PARAMS_FILE, load_yaml


class InputsChangedError(GoodfitError):
    """A declared input changed while the stage was running."""


@dataclass(frozen=True)
class Seal:
    """What a stage is about to read: the digest of every input file, the value of every parameter."""

    files: dict[str, Digest]
    params: dict[str, Any]


def run_stage(name: str, root: Path = Path()) -> None:
    """Run the stage in this process, in the repository at `root`; whoever calls decides whether it has to run, and records it.

    Raises:
        GoodfitError: the parameters are not valid, an input is missing or changed meanwhile, or the stage says what is wrong. The
            stage's outputs are gone then: no partial output stays behind.
    """
    root = root.resolve()
    check_params(root)
    declared = read_declaration(root, name)
    stage = _function(name, root)
    before = seal(root, declared)
    stale = stale_code(root, before)
    if stale:
        raise InputsChangedError(f"{name}: changed since this process read it: {', '.join(stale)}; start the run again")
    try:
        stage(stage_params(declared, before.params), root)
        changed = sorted({*_differences(before, seal(root, declared)), *stale_code(root, before)})
        if changed:
            raise InputsChangedError(f"{name}: changed while it ran: {', '.join(changed)}; nothing was recorded: run it again")
        write_statement(root, declared, before.files, before.params)
    except BaseException:
        remove_outputs(root, declared)
        raise


def seal(root: Path, declared: Declaration) -> Seal:
    """Hash every declared input, byte for byte, and read every declared parameter.

    Raises:
        ArtifactError: an input is missing.
    """
    try:
        files = digest_paths(root, declared.deps)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{declared.name}: its input {error.filename} is missing; run `dvc repro {declared.name}`"
        ) from None
    params = load_yaml(root / PARAMS_FILE)
    return Seal(files, picked(params, declared.params))


def stale_code(root: Path, sealed: Seal) -> list[str]:
    """The sealed source files that this process compiled from other bytes; what it does is not what they say."""
    sources = {file: digest.sha256 for file, digest in sealed.files.items() if file.endswith(".py")}
    return [file for file, sha256 in sources.items() if compiled.get((root / file).resolve(), sha256) != sha256]


def remove_outputs(root: Path, declared: Declaration) -> None:
    """Remove what the stage declares to write."""
    for name in declared.outs:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


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


def _differences(before: Seal, after: Seal) -> list[str]:
    """What differs, by name: files, then parameters."""
    files = sorted(file for file in before.files.keys() | after.files.keys() if before.files.get(file) != after.files.get(file))
    params = sorted(
        key for key in before.params.keys() | after.params.keys() if before.params.get(key) != after.params.get(key)
    )
    return [*files, *(f"{PARAMS_FILE}: {key}" for key in params)]


def main(arguments: list[str]) -> int:
    """The command: exit code 0 when the stage ran, 1 with a message when it did not, 2 for a wrong call, 130 for Ctrl-C."""
    from flows.lineage.journal import journaled

    if len(arguments) != 1:
        print("usage: python -m flows.stage NAME", file=sys.stderr)
        return 2
    root = Path.cwd()
    try:
        with journaled(root, arguments[0], door="dvc") as entry:
            run_stage(arguments[0], root)
            entry.outcome = "ran"
    except (GoodfitError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: {arguments[0]} wrote nothing", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    collect_rarely()
    leave(main(sys.argv[1:]))
