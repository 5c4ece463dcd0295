"""What is verified: the stages, what dvc.yaml, dvc.lock and the statements say of them, and the digests of their files."""

import json
import math
import os
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from flows.declaration import Declaration, producer, read_declarations, upstream, writer
from flows.lineage.ignore import IGNORE_FILE
from flows.lineage.lock import LOCK_FILE, Locked, read_document, read_entries
from flows.lineage.statement import statement_path
from flows.lineage.verification.files import KINDS, Files
from flows.lineage.verification.outcome import ExitCode, Mismatch, Note
from flows.repository import PIPELINE_FILE, cache_folder
from tasks.contracts.statement import Digest, Statement, read_statement
from tasks.core.errors import ArtifactError, GoodfitError
from tasks.core.settings import PARAMS_FILE, load_yaml


@dataclass
class Subject:
    """One repository, or the part of it behind a path."""

    root: Path
    whole: bool  # all stages of dvc.yaml
    pipeline: dict[str, Any]  # dvc.yaml as it is written
    declarations: dict[str, Declaration]
    chain: list[str]  # the stages that are verified, in the order of dvc.yaml
    document: dict[str, Any]  # dvc.lock as it is written
    lock: dict[str, Locked]
    params: dict[str, Any]
    files: Files
    statements: dict[str, Statement] = field(default_factory=dict)
    stated: dict[str, dict[str, Digest]] = field(default_factory=dict)  # each statement's files, which take a moment to list
    fixed: bool = False  # the number of threads, for computing again
    mismatches: list[Mismatch] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @cached_property
    def cache(self) -> Path:
        """The folder of DVC's cache."""
        return cache_folder(self.root)

    def gone(self, path: str) -> str:
        """What is said of a file that is not there: `dvc checkout` brings back only what DVC's cache holds."""
        if path in self.files.problems:
            return self.files.problems[path]
        stage = producer(self.declarations, path)
        if stage is None:
            return f"no file, and no stage writes it: `git checkout {path}` brings it back if Git has it"
        if any(path == out or path.startswith(f"{out}/") for out in self.declarations[stage].uncached):
            return f"no file: `git checkout {path}` or `dvc repro {stage}` brings it back"
        return "no file: `dvc checkout` brings it back"


def read_subject(root: Path, path: str | None) -> Subject:
    """Read all that says what should be; a damaged statement is a mismatch.

    Raises:
        DeclarationError: no stage writes `path`, or dvc.yaml is not as goodfit reads it.
        LockFileError: dvc.lock is not what DVC writes.
        GoodfitError: one of these is no file.
    """
    for name in (PIPELINE_FILE, LOCK_FILE, PARAMS_FILE, IGNORE_FILE):
        problem = _not_a_file(root / name)
        if problem:
            raise GoodfitError(f"{name} is {problem}; expected a file: `git checkout {name}` brings the committed one back")
    declarations = read_declarations(root)
    chain = upstream(declarations, writer(declarations, path)) if path is not None else list(declarations)
    document = read_document(root)
    subject = Subject(
        root=root,
        whole=path is None,
        pipeline=load_yaml(root / PIPELINE_FILE),
        declarations=declarations,
        chain=chain,
        document=document,
        lock=read_entries(document),
        params=load_yaml(root / PARAMS_FILE),
        files=Files(root),
    )
    for name in chain:
        _read_statement(subject, name)
    return subject


def _read_statement(subject: Subject, name: str) -> None:
    own = statement_path(name)
    problem = _not_a_file(subject.root / own)
    if problem:
        subject.mismatches.append(
            Mismatch(name, own.as_posix(), ExitCode.MISMATCH, "the stage's statement", problem, PIPELINE_FILE)
        )
    elif (subject.root / own).exists():
        try:
            subject.statements[name] = read_statement(subject.root, name)
            subject.stated[name] = subject.statements[name].files
        except ArtifactError as error:
            subject.mismatches.append(
                Mismatch(name, own.as_posix(), ExitCode.MISMATCH, "the stage's statement", str(error), PIPELINE_FILE)
            )


def _not_a_file(path: Path) -> str:
    """What is there, if it is something else than a file: opening a FIFO would wait for ever."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - Path.stat is the same, and this follows links too
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"what cannot be read ({error.strerror})"
    return "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "no file")


def same(one: Any, other: Any) -> bool:
    """Whether two values of parameters are the same, in type too: `false` is not 0, and 1.0 is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


def as_json(value: Any) -> str:
    """A value of a YAML file in one line, whatever it is."""
    return json.dumps(value, ensure_ascii=False, default=str)
