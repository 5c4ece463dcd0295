"""Each stage's files and parameters against its statement, against dvc.lock, and both against dvc.yaml and params.yaml."""

from collections.abc import Iterator
from pathlib import Path

from flows.declaration import Declaration
from flows.lineage.digest import directory_md5
from flows.lineage.lock import LOCK_FILE, Locked, as_locked
from flows.lineage.statement import flat, shown, statement_path
from flows.lineage.verification.outcome import ExitCode, Mismatch
from flows.lineage.verification.subject import Subject, same
from flows.parameters.checking import picked
from flows.repository import PIPELINE_FILE
from tasks.contracts.statement import Digest, Statement
from tasks.core.settings import PARAMS_FILE


def files_of(subject: Subject, name: str) -> Iterator[str]:
    """Every file that the stage declares or that its statement names."""
    declared = subject.declarations[name]
    for path in (*declared.deps, *declared.outs):
        yield from subject.files.below(path)
    yield from subject.stated.get(name, ())


def check_stage(subject: Subject, name: str) -> Iterator[Mismatch]:
    """All that does not hold for one stage; its files have been hashed."""
    declared, own = subject.declarations[name], statement_path(name).as_posix()
    locked, statement = subject.lock.get(name), subject.statements.get(name)
    if locked is None:
        yield Mismatch(name, LOCK_FILE, ExitCode.MISSING, "an entry", "none: run `dvc repro`", PIPELINE_FILE)
        return
    yield from _listed(subject.root, declared, locked)
    if not (subject.root / own).exists():
        none = "none: run `dvc checkout` or `dvc repro`"
        yield Mismatch(name, own, ExitCode.NO_STATEMENT, "a statement", none, LOCK_FILE)
        return
    actual = subject.files.known((*declared.deps, *declared.outs))
    if statement:
        yield from _stated(subject, name, actual)
    yield from _locked(subject, name, locked, actual)
    yield from _called(subject, declared, locked, statement)


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


def _stated(subject: Subject, name: str, actual: dict[str, Digest]) -> Iterator[Mismatch]:
    """The files are those of the statement."""
    stated = subject.stated[name]
    for path, digest in stated.items():
        found = actual.get(path) or subject.files.digests.get(path)
        if found == digest and path in actual:
            continue
        expected = f"sha256 {digest.sha256}"
        if found is None:
            wrong = path in subject.files.problems
            kind = ExitCode.MISMATCH if wrong else ExitCode.MISSING
            yield Mismatch(name, path, kind, expected, subject.gone(path), "statement")
        elif found.sha256 != digest.sha256:
            yield Mismatch(name, path, ExitCode.MISMATCH, expected, f"sha256 {found.sha256}", "statement")
        elif found.md5 != digest.md5:
            yield Mismatch(name, path, ExitCode.MISMATCH, f"md5 {digest.md5}", f"md5 {found.md5}", "statement")
        elif path not in actual:
            yield Mismatch(
                name, path, ExitCode.MISMATCH, expected, "it left out by .dvcignore, or no longer declared", "statement"
            )
    own = statement_path(name).as_posix()
    for path in sorted(actual.keys() - stated.keys() - {own}):
        yield Mismatch(name, path, ExitCode.MISMATCH, "no such file", f"sha256 {actual[path].sha256}", "statement")


def _locked(subject: Subject, name: str, locked: Locked, actual: dict[str, Digest]) -> Iterator[Mismatch]:
    """The declared files and folders are those of dvc.lock."""
    declared = subject.declarations[name]
    recorded = locked.deps | locked.outs
    for path in (*declared.deps, *declared.outs):
        md5 = recorded.get(as_locked(subject.root, path))
        if md5 is None:
            continue
        problem = subject.files.problems.get(path)
        found = None if problem else md5_of(subject, path)
        if found is None:
            kind = ExitCode.MISMATCH if problem else ExitCode.MISSING
            yield Mismatch(name, path, kind, f"md5 {md5}", subject.gone(path), LOCK_FILE)
        elif found != md5 and not _only_lacks(subject.stated.get(name, {}), path, md5, actual):
            yield Mismatch(name, path, ExitCode.MISMATCH, f"md5 {md5}", f"md5 {found}", LOCK_FILE)
    for path in sorted(subject.files.problems):
        if any(path.startswith(f"{folder}/") for folder in (*declared.deps, *declared.outs)):
            yield Mismatch(name, path, ExitCode.MISMATCH, "only files", subject.files.problems[path], LOCK_FILE)


def _called(subject: Subject, declared: Declaration, locked: Locked, statement: Statement | None) -> Iterator[Mismatch]:
    """Command and parameters are the same in dvc.yaml and params.yaml, in dvc.lock and in the statement."""
    now = flat(picked(subject.params, declared.params))
    sources = [(LOCK_FILE, locked.command, locked.params)]
    if statement:
        sources.insert(0, ("statement", statement.command, statement.params))
    for source, command, stated in sources:
        recorded = flat(stated)
        if command != declared.command:
            place = f"{PIPELINE_FILE}: cmd"
            yield Mismatch(declared.name, place, ExitCode.MISMATCH, repr(command), repr(declared.command), source)
        for key in dict.fromkeys((*now, *recorded)):
            if (key in recorded) != (key in now) or not same(recorded.get(key), now.get(key)):
                expected, found = (shown(params[key]) if key in params else "no such key" for params in (recorded, now))
                yield Mismatch(declared.name, f"{PARAMS_FILE}: {key}", ExitCode.MISMATCH, expected, found, source)


def _only_lacks(files: dict[str, Digest], folder: str, md5: str, actual: dict[str, Digest]) -> bool:
    """Whether the folder differs from dvc.lock by files alone that are gone, each of which the statement tells."""
    stated = {path: digest for path, digest in files.items() if path.startswith(f"{folder}/")}
    here = {path: digest for path, digest in actual.items() if path.startswith(f"{folder}/")}
    return bool(stated) and here.items() <= stated.items() and directory_md5(stated, folder) == md5


def md5_of(subject: Subject, path: str) -> str | None:
    """What dvc.lock should hold for `path`: of the file, or of the folder's listing; None where nothing is there."""
    if subject.files.below(path) != [path]:
        return subject.files.folder_md5(path)
    found = subject.files.digests.get(path)
    return found.md5 if found else None
