"""Lineage statements as a reader sees them: which files each stage read and wrote, and where each file came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.contracts.statement import REQUIREMENTS, Digest, Statement

SHOWN = 12  # files of a list that are shown; a folder of images has thousands
CODE = ("tasks/", "flows/")


@dataclass(frozen=True)
class File:
    """A file of a statement. `origin` is the stage that wrote it; `same` is False where that stage wrote other bytes."""

    name: str
    digest: str
    origin: str = ""
    same: bool = True

    @property
    def short(self) -> str:
        """Enough of the digest to recognise it."""
        return self.digest[:12]


@dataclass(frozen=True)
class Files:
    """The first files of a list, and how many there are in all."""

    shown: list[File]
    total: int

    @property
    def hidden(self) -> int:
        return self.total - len(self.shown)


@dataclass(frozen=True)
class Link:
    """One stage of the chain."""

    stage: str
    data: Files
    code: Files
    outputs: Files


def chain(statements: Sequence[Statement]) -> list[Link]:
    """The stages, in the order of the statements."""
    written: dict[str, tuple[str, str]] = {}
    links = []
    for statement in statements:
        inputs = [_file(name, digest, written) for name, digest in statement.inputs.items()]
        outputs = [_file(name, digest, {}) for name, digest in statement.outputs.items()]
        written |= {file.name: (statement.stage, file.digest) for file in outputs}
        data = [file for file in inputs if not file.name.startswith(CODE)]
        code = [file for file in inputs if file.name.startswith(CODE)]
        links.append(Link(statement.stage, _cut(data), _cut(code, 100), _cut(outputs)))
    return links


def environment(statements: Sequence[Statement]) -> dict[str, list[Any]]:
    """The environment and the package versions of the stages; several values where the stages differ."""
    merged: dict[str, list[Any]] = {}
    for statement in statements:
        packages = {name: uri.rpartition("@")[2] for name, uri in statement.packages.items()}
        lock = statement.requirements
        locked = {REQUIREMENTS: lock.sha256[:12]} if lock else {}
        for key, found in {**statement.environment, **packages, **locked}.items():
            values = merged.setdefault(key, [])
            if found not in values:
                values.append(found)
    return merged


def _file(name: str, digest: Digest, written: dict[str, tuple[str, str]]) -> File:
    origin, expected = written.get(name, ("", digest.sha256))
    return File(name, digest.sha256, origin, digest.sha256 == expected)


def _cut(files: list[File], most: int = SHOWN) -> Files:
    return Files(files[:most], len(files))
