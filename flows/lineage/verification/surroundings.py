"""What a statement names beside the declared files: rules of .dvcignore, files outside of the repository, goodfit's own code."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from flows.lineage.ignore import IGNORE_FILE
from flows.lineage.packages import PACKAGES
from flows.lineage.verification.outcome import ExitCode, Mismatch, Note
from flows.lineage.verification.subject import Subject
from tasks.contracts.statement import Statement

SHOWN = 3


def surrounding_files(subject: Subject, name: str) -> Iterator[str]:
    """Those files, to be hashed with the others."""
    statement = subject.statements.get(name)
    if statement:
        yield from statement.ignore_files
        yield from _ignore_files(subject, name)
        yield from map(_place, statement.undeclared)
        yield from statement.builder


def check_surroundings(subject: Subject) -> Iterator[Mismatch]:
    """Which files are hashed at all is decided by .dvcignore, so that another one is a mismatch; the rest is told."""
    for name, statement in subject.statements.items():
        if statement.builder:  # version 1 of the statement did not name them
            yield from _ignored(subject, name, statement)
    subject.notes += _notes(subject)


def _ignored(subject: Subject, name: str, statement: Statement) -> Iterator[Mismatch]:
    stated, cure = statement.ignore_files, f"`git checkout` it, or `dvc repro -f {name}`"
    for path in dict.fromkeys((*stated, *_ignore_files(subject, name))):
        found = subject.files.digests.get(path)
        if path not in stated:
            digest = f"sha256 {found.sha256}" if found else "a file"
            yield Mismatch(name, path, ExitCode.MISMATCH, "no such file", f"{digest}: {cure}", "statement")
        elif found is None:
            yield Mismatch(name, path, ExitCode.MISSING, f"sha256 {stated[path].sha256}", f"no file: {cure}", "statement")
        elif found != stated[path]:
            expected = f"sha256 {stated[path].sha256}"
            yield Mismatch(name, path, ExitCode.MISMATCH, expected, f"sha256 {found.sha256}: {cure}", "statement")


def _ignore_files(subject: Subject, name: str) -> list[str]:
    """The .dvcignore of the repository and of every folder above a declared folder, as the seal counts them."""
    deps = subject.declarations[name].deps
    folders = {parent for dep in deps if (subject.root / dep).is_dir() for parent in Path(dep).parents}
    inside = sorted(folder for folder in {*folders, Path()} if not folder.is_absolute() and ".." not in folder.parts)
    return [(folder / IGNORE_FILE).as_posix() for folder in inside if (subject.root / folder / IGNORE_FILE).is_file()]


def _place(undeclared: str) -> str:
    """Where a file lies that a statement names without the name of the user."""
    return str(Path(undeclared).expanduser()) if undeclared.startswith("~/") else undeclared


def _notes(subject: Subject) -> Iterator[Note]:
    code: dict[str, None] = {}
    for name, statement in subject.statements.items():
        for path, digest in statement.undeclared.items():
            found = subject.files.digests.get(_place(path))
            if found is None:
                yield Note(path, f"was read by {name}, undeclared, and is not here: sha256 {digest.sha256}")
            elif found != digest:
                yield Note(
                    path, f"was read by {name}, undeclared, with sha256 {digest.sha256}; here it has sha256 {found.sha256}"
                )
        code |= dict.fromkeys(path for path, digest in statement.builder.items() if subject.files.digests.get(path) != digest)
        for variable, value in statement.variables.items():
            yield Note(name, f"ran with {variable}={value}")
    if code:
        shown = ", ".join([*code][:SHOWN]) + (f" and {len(code) - SHOWN} more" if len(code) > SHOWN else "")
        yield Note(shown, "goodfit's own code that wrote the statements has been edited since")
    for package, module in PACKAGES.items():
        for shadow in (f"{module}.py", module):
            if (subject.root / shadow).exists() and find_spec(module) is not None:
                yield Note(shadow, f"would be imported by the next run in place of the installed {package}")
