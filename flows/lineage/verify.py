"""Verify: every byte is hashed again, back to the raw data; statement against dvc.lock against files.

Neither mtimes nor DVC's own state count.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from flows.declaration import PIPELINE_FILE, Declaration, read_declarations, upstream, writer
from flows.lineage.digest import Digest, digest_file, directory_md5, files_below
from flows.lineage.statement import read_statement, statement_path
from tasks.contracts.params import PARAMS_FILE, load_yaml

LOCK_FILE = "dvc.lock"


class ExitCode(IntEnum):
    """What `goodfit lineage verify` ends with; the gravest of all that was found."""

    PROVEN = 0
    MISMATCH = 1
    MISSING = 2
    NO_STATEMENT = 3


@dataclass(frozen=True)
class Mismatch:
    """One thing that does not hold."""

    stage: str
    path: str
    kind: ExitCode
    expected: str
    found: str
    source: str  # who expects it: "statement", "dvc.lock" or "params.yaml"

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
        DeclarationError: no stage writes `path`.
    """
    declarations = read_declarations(root)
    chain = upstream(declarations, writer(declarations, path)) if path else list(declarations)
    lock = load_yaml(root / LOCK_FILE).get("stages", {}) if (root / LOCK_FILE).exists() else {}
    mismatches: list[Mismatch] = []
    hashed: dict[str, Digest] = {}
    for name in chain:
        mismatches += _verify_stage(root, declarations[name], lock.get(name), hashed)
    return Verification(chain, len(hashed), mismatches)


def _verify_stage(
    root: Path, declared: Declaration, locked: dict[str, Any] | None, hashed: dict[str, Digest]
) -> Iterator[Mismatch]:
    def mismatch(path: str, kind: ExitCode, expected: str, found: str, source: str) -> Mismatch:
        return Mismatch(declared.name, path, kind, expected, found, source)

    own = statement_path(declared.name)
    if locked is None:
        yield mismatch(LOCK_FILE, ExitCode.MISSING, "an entry", "none: run `dvc repro`", PIPELINE_FILE)
        return
    if not (root / own).exists():
        yield mismatch(str(own), ExitCode.NO_STATEMENT, "a statement", "none: run `dvc checkout` or `dvc repro`", LOCK_FILE)
        return
    actual = _hash(root, (*declared.deps, *declared.outs), hashed)
    statement = read_statement(root, declared.name)
    for path, digest in statement.files.items():
        if path not in actual:
            yield mismatch(
                path, ExitCode.MISSING, f"sha256 {digest.sha256}", "no file: `dvc checkout` brings it back", "statement"
            )
        elif actual[path] != digest:
            yield mismatch(path, ExitCode.MISMATCH, f"sha256 {digest.sha256}", f"sha256 {actual[path].sha256}", "statement")
    for path in sorted(actual.keys() - statement.files.keys() - {str(own)}):
        yield mismatch(path, ExitCode.MISMATCH, "no such file", f"sha256 {actual[path].sha256}", "statement")
    for entry in (*locked.get("deps", ()), *locked.get("outs", ())):
        found = _locked_md5(entry["path"], actual)
        if found is not None and found != entry["md5"]:
            yield mismatch(entry["path"], ExitCode.MISMATCH, f"md5 {entry['md5']}", f"md5 {found}", LOCK_FILE)
    params = load_yaml(root / PARAMS_FILE)
    recorded = locked.get("params", {}).get(PARAMS_FILE, {})
    for key in declared.params:
        for source, value in (("statement", statement.params.get(key)), (LOCK_FILE, recorded.get(key))):
            if value != params.get(key):
                yield mismatch(f"{PARAMS_FILE}: {key}", ExitCode.MISMATCH, repr(value), repr(params.get(key)), source)


def _hash(root: Path, names: tuple[str, ...], hashed: dict[str, Digest]) -> dict[str, Digest]:
    """Digest what exists of `names`; a file that two stages name is read once."""
    existing = [name for name in names if (root / name).exists()]
    files = [file for name in existing for file in files_below(root, name)]
    for file in files:
        if file not in hashed:
            hashed[file] = digest_file(root / file)
    return {file: hashed[file] for file in files}


def _locked_md5(path: str, actual: dict[str, Digest]) -> str | None:
    """What dvc.lock should hold for `path`: of the file, or of the folder's listing; None where nothing is there."""
    if path in actual:
        return actual[path].md5
    below = {name: digest for name, digest in actual.items() if name.startswith(f"{path}/")}
    return directory_md5(below, path) if below else None
