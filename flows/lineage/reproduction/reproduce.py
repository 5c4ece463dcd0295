"""Reproduce: a recorded run made again from its commit alone, and every output compared with what dvc.lock records."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from pathlib import Path, PurePosixPath

from flows.declaration import Declaration, read_declarations, read_params, upstream, writer
from flows.lineage.blobs import contents, objects_at
from flows.lineage.lock import LOCK_FILE, Locked, read_lock
from flows.lineage.printed import escaped
from flows.lineage.reading.source_data import Brought, bring_sources, sources
from flows.lineage.reproduction.clean_clone import Clone, clean_clone
from flows.lineage.reproduction.compare import FileResult, Recorded, compare_stage
from flows.lineage.reproduction.surroundings import Other, other_surroundings
from flows.lineage.revisions import recorded_commit
from flows.lineage.statement import flat, statement_path
from flows.parameters.checking import picked
from tasks.core.errors import GoodfitError, UnknownNameError
from tasks.core.settings import PARAMS_FILE, load_yaml

ADVICE = "To track the changes with git"  # of DVC, at the end: it does not hold in a folder that will be removed


class Outcome(IntEnum):
    """What `goodfit lineage reproduce` ends with."""

    IDENTICAL = 0
    DIVERGED = 1
    WITHIN_TOLERANCE = 3  # 2 is a usage error
    NOT_REPRODUCED = 4  # it could not be run, or there is nothing to compare with


WORDS = {Outcome.IDENTICAL: "bit-identical", Outcome.DIVERGED: "diverged", Outcome.WITHIN_TOLERANCE: "within tolerance"}


@dataclass(frozen=True)
class Reproduction:
    """The outcome, and all that differs, in the order of the pipeline."""

    revision: str
    commit: str
    tolerance: float
    stages: list[str]  # that were made again
    files: int  # outputs that were compared
    differing: list[FileResult]
    surroundings: list[Other]  # what differs between the recorded environment and this one
    brought: list[Brought]  # inputs that do not come from Git
    failed: str = ""  # the stage that failed
    folder: str = ""  # where it was made, if it was kept
    notes: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        if self.failed or any(not self.accepts(one) for one in self.differing):
            return Outcome.DIVERGED
        return Outcome.WITHIN_TOLERANCE if self.differing else Outcome.IDENTICAL

    @property
    def first(self) -> FileResult | None:
        """The first file, in the order of the pipeline, that is not accepted."""
        return next((one for one in self.differing if not self.accepts(one)), None)

    def accepts(self, file: FileResult) -> bool:
        """Whether a file that has other bytes says the same.

        A statement names the environment, goodfit's own code, and the digests of what is compared anyway: it never decides. A page
        (HTML) shows the numbers of the files that it was made from: it is not judged where a tolerance was asked for.
        """
        if file.kind == "statement" or (file.kind == "page" and self.tolerance > 0):
            return True
        return file.differences is not None and all(one.within(self.tolerance) for one in file.differences)


def reproduce(
    root: Path,
    revision: str | None = None,
    *,
    path: str | None = None,
    stage: str | None = None,
    tolerance: float = 0.0,
    keep: bool = False,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> Reproduction:
    """Run the stages of a commit again in a clean clone, and compare every output with that commit's dvc.lock.

    Args:
        root: the repository.
        revision: a commit, branch, tag or experiment; without it HEAD, whose dvc.lock must be that of the working tree.
        path: an output; only the stage that writes it and those before it are run.
        stage: the same by the name of the stage.
        tolerance: how far a number may be from the recorded one, as a part of it, and absolute where it is below 1.
        keep: leave the clone behind.
        say: told what is done, and each line that the stages print.

    Raises:
        UnknownNameError: there is no such stage.
        GoodfitError: no such revision, or it records nothing; an input is not what was recorded; a stage fails though no output before
            it differs.
    """
    root = root.resolve()
    if revision is None:
        _require_committed_lock(root)
        revision = "HEAD"
    commit = recorded_commit(root, revision)
    with clean_clone(root, commit, keep=keep) as clone:
        begun = partial(Reproduction, revision, commit, tolerance, folder=str(clone.folder) if keep else "")
        found, exit_code = _make_again(root, clone, commit, (path, stage), say, begun=begun)
    if (exit_code or found.failed) and found.first is None:
        where = f"; its folder is {clone.folder}" if keep else "; --keep keeps the folder in which it was run"
        failed = f"{found.failed or 'dvc repro'} failed (exit code {exit_code})"
        raise GoodfitError(f"{failed} though no output before it differs; it says above why{where}")
    return found


def _make_again(
    root: Path,
    clone: Clone,
    commit: str,
    ends: tuple[str | None, str | None],
    say: Callable[[str], None],
    *,
    begun: Callable[..., Reproduction],
) -> tuple[Reproduction, int]:
    """Bring the inputs into the clone, run the stages, and compare what they wrote.

    Args:
        ends: the path and the stage asked for.
        begun: a reproduction that lacks what is found here.

    Returns:
        The reproduction, and the exit code of `dvc repro`.
    """
    locked, declarations = read_lock(clone.root), read_declarations(clone.root)
    chain = _chain(declarations, locked, *ends)
    _require_same_call(clone.root, declarations, {name: locked[name] for name in chain})
    with _recorded(root, clone, commit) as recorded:
        wanted = sources({name: locked[name] for name in chain}, _outputs(locked, declarations))
        brought = bring_sources(root, clone.root, wanted)
        for one in brought:
            say(f"{escaped(one.path)}: {one.origin}, {one.files} files, as {LOCK_FILE} records")
        others, notes = other_surroundings(locked, chain, recorded, clone.root)
        for other in others:
            say(escaped(f"this environment differs: {other}"))
        _clear(clone.root, declarations, locked)
        exit_code = _run(clone, chain, say)
        differing, files, failed = _compare(clone.root, chain, locked, recorded, wanted)
    unrecorded = [name for name in declarations if name not in locked]
    if unrecorded and ends == (None, None):
        notes.append(f"not run, because {LOCK_FILE} does not record them: {', '.join(unrecorded)}")
    found = begun(
        stages=chain, files=files, differing=differing, surroundings=others, brought=brought, failed=failed, notes=notes
    )
    return found, exit_code


def _require_committed_lock(root: Path) -> None:
    committed = committed_file(root, "HEAD", LOCK_FILE)
    here = (root / LOCK_FILE).read_bytes() if (root / LOCK_FILE).exists() else None
    if here is None or committed is None:
        missing = "is not in HEAD" if committed is None else "is missing here"
        raise GoodfitError(f"{LOCK_FILE} {missing}; expected a run that was committed: `dvc repro`, then commit {LOCK_FILE}")
    if here.replace(b"\r\n", b"\n") != committed.replace(b"\r\n", b"\n"):
        raise GoodfitError(
            f"{LOCK_FILE} here is not that of HEAD, and only what was committed can be reproduced: commit it with the code and "
            "parameters that made it, or name the revision: `goodfit lineage reproduce HEAD`"
        )


def committed_file(root: Path, commit: str, path: str) -> bytes | None:
    found = objects_at(root, [(commit, path)])
    return next((content for _, content in contents(root, found.values())), None)


def _chain(
    declarations: dict[str, Declaration], locked: Mapping[str, Locked], path: str | None, stage: str | None
) -> list[str]:
    if stage is not None and stage not in declarations:
        raise UnknownNameError(f"unknown stage '{stage}'; dvc.yaml has {', '.join(declarations)}")
    ends = [stage] if stage is not None else [name for name in declarations if name in locked]
    if path is not None:
        ends = [writer(declarations, path)]
    chain = upstream(declarations, *ends)
    lacking = [name for name in chain if name not in locked]
    if lacking or not chain:
        raise GoodfitError(f"{LOCK_FILE} does not record {', '.join(lacking) or 'any stage'}: there is nothing to compare with")
    return chain


def _outputs(locked: Mapping[str, Locked], declarations: Mapping[str, Declaration]) -> list[str]:
    return [out for entry in locked.values() for out in entry.outs] + [
        out for declared in declarations.values() for out in declared.outs
    ]


def _require_same_call(root: Path, declarations: Mapping[str, Declaration], locked: Mapping[str, Locked]) -> None:
    """The commit's commands and parameters are those that its dvc.lock records: another run would be compared otherwise."""
    frozen = [name for name in locked if load_yaml(root / "dvc.yaml")["stages"][name].get("frozen")]
    if frozen:
        raise GoodfitError(
            f"nothing was run: dvc.yaml freezes {', '.join(frozen)}, which `dvc repro` does not run; reproduce what does not come from "
            "there (`--stage`), or `dvc unfreeze` it and commit"
        )
    params, wrong = read_params(root), []
    for name, entry in locked.items():
        if entry.command != declarations[name].command:
            wrong.append(f"  {name}: {LOCK_FILE} has the command {entry.command!r}, dvc.yaml {declarations[name].command!r}")
        recorded, now = flat(entry.params), flat(picked(params, declarations[name].params))
        for key in dict.fromkeys((*recorded, *now)):
            values = [json.dumps(side[key], default=str) if key in side else "no such key" for side in (recorded, now)]
            if values[0] != values[1]:
                wrong.append(f"  {name}: {key}: {LOCK_FILE} has {values[0]}, {PARAMS_FILE} {values[1]}")
    if wrong:
        raise GoodfitError(
            "nothing was run: the commit's parameters or commands are not those of its dvc.lock:\n"
            + "\n".join(wrong)
            + "\nthe run was committed in part, or edited afterwards: reproduce the commit that has both"
        )


@contextmanager
def _recorded(root: Path, clone: Clone, commit: str) -> Iterator[Recorded]:
    def in_git(path: str) -> bytes | None:
        return committed_file(root, commit, path)

    yield Recorded(root, clone.folder / "recorded", in_git)


def _clear(root: Path, declarations: Mapping[str, Declaration], locked: Mapping[str, Locked]) -> None:
    """Git has some outputs, and dvc.lock would let DVC leave a stage out: both go, so that everything is made again."""
    from flows.lineage.reproduction.clean_clone import remove

    for path in dict.fromkeys(_outputs(locked, declarations)):
        target = root / path
        if PurePosixPath(path).is_absolute() or not target.resolve().is_relative_to(root.resolve()):
            raise GoodfitError(f"nothing was run: {path}, an output, lies outside of the repository and would be overwritten")
        if target.is_dir() and not target.is_symlink():
            remove(target)
        else:
            target.unlink(missing_ok=True)
    (root / LOCK_FILE).unlink()


def _run(clone: Clone, chain: list[str], say: Callable[[str], None]) -> int:
    """Its exit code. `--no-commit` stores nothing in a cache, which nothing would read."""
    from flows.processes.running import run_command

    advises = False

    def relay(line: str) -> None:
        nonlocal advises
        advises = advises or line.startswith(ADVICE)
        if not advises:
            say(line)

    command = [sys.executable, "-m", "dvc", "repro", "--no-commit", "--no-run-cache", *chain]
    return run_command(command, clone.variables, output=relay, cwd=clone.root).code


def _compare(
    root: Path, chain: list[str], locked: Mapping[str, Locked], recorded: Recorded, wanted: Mapping[str, str]
) -> tuple[list[FileResult], int, str]:
    """What differs, how many files were compared, and the first stage that did not end well."""
    made = read_lock(root)
    results: list[FileResult] = []
    files = 0
    for name in chain:
        if name not in made:
            return results, files, name
        changed = [path for path, md5 in made[name].deps.items() if path in wanted and md5 != wanted[path]]
        if changed:
            raise GoodfitError(f"{name}: {', '.join(changed)} changed while it ran, so that nothing can be said: run it again")
        differing, compared = compare_stage(root, name, locked[name].outs, recorded)
        results += sorted(differing, key=lambda one: one.path == statement_path(name).as_posix())
        files += compared
    return results, files, ""
