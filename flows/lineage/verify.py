"""Verify: every byte is hashed again, back to the raw data; statement against dvc.lock against dvc.yaml against files.

Neither mtimes nor DVC's own state count.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from flows.declaration import Declaration, producer, read_declarations, upstream, writer
from flows.lineage.digest import digest_file, directory_md5, files_below
from flows.lineage.lock import LOCK_FILE, Locked, as_locked, read_lock
from flows.lineage.statement import flat, shown, statement_path
from flows.parameters.checking import picked
from flows.repository import PIPELINE_FILE
from tasks.contracts.statement import Digest, Statement, read_statement
from tasks.core.errors import ArtifactError
from tasks.core.settings import PARAMS_FILE, load_yaml


class ExitCode(IntEnum):
    """What `goodfit lineage verify` ends with; the gravest of all that was found."""

    PROVEN = 0
    MISMATCH = 1
    MISSING = 2
    NO_STATEMENT = 3
    NOT_CHECKED = 4  # no such file, or a dvc.yaml, dvc.lock or params.yaml that cannot be read: nothing can be said


@dataclass(frozen=True)
class Mismatch:
    """One thing that does not hold."""

    stage: str
    path: str
    kind: ExitCode
    expected: str
    found: str
    source: str  # who expects it: "statement", "dvc.lock" or "dvc.yaml"

    def __str__(self) -> str:
        return f"{self.stage}: {self.path}: {self.source} has {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Verification:
    """The outcome: how many files were hashed, and all that does not hold."""

    stages: list[str]
    files: int
    mismatches: list[Mismatch]

    @property
    def exit_code(self) -> ExitCode:
        kinds = {mismatch.kind for mismatch in self.mismatches}
        return next(
            (kind for kind in (ExitCode.MISMATCH, ExitCode.MISSING, ExitCode.NO_STATEMENT) if kind in kinds), ExitCode.PROVEN
        )


def verify(root: Path, path: str | None = None) -> Verification:
    """Check the stage that writes `path` and all before it, or every stage.

    Raises:
        DeclarationError: no stage writes `path`, or dvc.yaml is not as goodfit reads it.
        LockFileError: dvc.lock is not what DVC writes.
    """
    declarations = read_declarations(root)
    chain = upstream(declarations, writer(declarations, path)) if path else list(declarations)
    lock = read_lock(root)
    mismatches: list[Mismatch] = []
    hashed: dict[str, Digest] = {}
    for name in chain:
        mismatches += _verify_stage(root, declarations, name, lock.get(name), hashed)
    return Verification(chain, len(hashed), mismatches)


def _verify_stage(
    root: Path, declarations: dict[str, Declaration], name: str, locked: Locked | None, hashed: dict[str, Digest]
) -> Iterator[Mismatch]:
    declared, own = declarations[name], statement_path(name).as_posix()
    if locked is None:
        yield Mismatch(name, LOCK_FILE, ExitCode.MISSING, "an entry", "none: run `dvc repro`", PIPELINE_FILE)
        return
    yield from _listed(root, declared, locked)
    if not (root / own).exists():
        none = "none: run `dvc checkout` or `dvc repro`"
        yield Mismatch(name, own, ExitCode.NO_STATEMENT, "a statement", none, LOCK_FILE)
        return
    statement = None
    try:
        statement = read_statement(root, name)
    except ArtifactError as error:
        yield Mismatch(name, own, ExitCode.MISMATCH, "the stage's statement", str(error), PIPELINE_FILE)
    actual = _hash(root, (*declared.deps, *declared.outs), hashed)
    if statement:
        yield from _stated(declarations, name, statement, actual)
    yield from _locked(root, declarations, name, locked, actual)
    yield from _called(root, declared, locked, statement)


def _listed(root: Path, declared: Declaration, locked: Locked) -> Iterator[Mismatch]:
    """dvc.lock lists what dvc.yaml declares, no less and no more: what it does not list, its digests do not prove."""
    for kind, paths, digests in (("input", declared.deps, locked.deps), ("output", declared.outs, locked.outs)):
        wanted = {as_locked(root, path) for path in paths}
        for path in sorted(wanted - digests.keys()):
            yield Mismatch(
                declared.name, path, ExitCode.MISMATCH, f"it as an {kind}", f"no such entry in {LOCK_FILE}", PIPELINE_FILE
            )
        for path in sorted(digests.keys() - wanted):
            yield Mismatch(
                declared.name, path, ExitCode.MISMATCH, f"no such {kind}", f"md5 {digests[path]} in {LOCK_FILE}", PIPELINE_FILE
            )


def _stated(
    declarations: dict[str, Declaration], name: str, statement: Statement, actual: dict[str, Digest]
) -> Iterator[Mismatch]:
    """The files are those of the statement."""
    for path, digest in statement.files.items():
        expected = f"sha256 {digest.sha256}"
        if path not in actual:
            yield Mismatch(name, path, ExitCode.MISSING, expected, _gone(declarations, path), "statement")
        elif actual[path] != digest:
            yield Mismatch(name, path, ExitCode.MISMATCH, expected, f"sha256 {actual[path].sha256}", "statement")
    own = statement_path(name).as_posix()
    for path in sorted(actual.keys() - statement.files.keys() - {own}):
        yield Mismatch(name, path, ExitCode.MISMATCH, "no such file", f"sha256 {actual[path].sha256}", "statement")


def _locked(
    root: Path, declarations: dict[str, Declaration], name: str, locked: Locked, actual: dict[str, Digest]
) -> Iterator[Mismatch]:
    """The declared files and folders are those of dvc.lock."""
    recorded = locked.deps | locked.outs
    for path in (*declarations[name].deps, *declarations[name].outs):
        md5 = recorded.get(as_locked(root, path))
        found = _md5(root, path, actual)
        if md5 is not None and found is None:
            yield Mismatch(name, path, ExitCode.MISSING, f"md5 {md5}", _gone(declarations, path), LOCK_FILE)
        elif md5 is not None and found != md5:
            yield Mismatch(name, path, ExitCode.MISMATCH, f"md5 {md5}", f"md5 {found}", LOCK_FILE)


def _called(root: Path, declared: Declaration, locked: Locked, statement: Statement | None) -> Iterator[Mismatch]:
    """Command and parameters are the same in dvc.yaml and params.yaml, in dvc.lock and in the statement."""
    params = load_yaml(root / PARAMS_FILE)
    now = flat(picked(params, declared.params))
    sources = [(LOCK_FILE, locked.command, locked.params)]
    if statement:
        sources.insert(0, ("statement", statement.command, statement.params))
    for source, command, stated in sources:
        recorded = flat(stated)
        if command != declared.command:
            place = f"{PIPELINE_FILE}: cmd"
            yield Mismatch(declared.name, place, ExitCode.MISMATCH, repr(command), repr(declared.command), source)
        for key in dict.fromkeys((*now, *recorded)):
            if (key in recorded, recorded.get(key)) != (key in now, now.get(key)):
                expected, found = (shown(params[key]) if key in params else "no such key" for params in (recorded, now))
                yield Mismatch(declared.name, f"{PARAMS_FILE}: {key}", ExitCode.MISMATCH, expected, found, source)


def _gone(declarations: dict[str, Declaration], path: str) -> str:
    """What is said of a file that is not there: `dvc checkout` brings back only what DVC's cache holds."""
    stage = producer(declarations, path)
    if stage is None:
        return f"no file, and no stage writes it: `git checkout {path}` brings it back if Git has it"
    if any(path == out or path.startswith(f"{out}/") for out in declarations[stage].uncached):
        return f"no file: `git checkout {path}` or `dvc repro {stage}` brings it back"
    return "no file: `dvc checkout` brings it back"


def _hash(root: Path, names: tuple[str, ...], hashed: dict[str, Digest]) -> dict[str, Digest]:
    """Digest what exists of `names`; a file that two stages name is read once."""
    files = [file for name in names for file in files_below(root, name) if (root / file).exists()]
    for file in files:
        if file not in hashed:
            hashed[file] = digest_file(root / file)
    return {file: hashed[file] for file in files}


def _md5(root: Path, path: str, actual: dict[str, Digest]) -> str | None:
    """What dvc.lock should hold for `path`: of the file, or of the folder's listing; None where nothing is there."""
    if (root / path).is_dir():
        return directory_md5(actual, Path(path).as_posix())
    return actual[path].md5 if path in actual else None
