"""The lineage statements as a reader sees them: which files each stage read and wrote, and where each came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN = 12  # files of a list that are named; a folder of images has thousands
CODE = ("tasks/", "flows/")
REQUIREMENTS = "requirements.lock"


@dataclass(frozen=True)
class File:
    """A file of a statement. `origin` is the stage that wrote it; `same` is False where that stage wrote other bytes."""

    name: str
    digest: str
    origin: str = ""
    same: bool = True

    @property
    def short(self) -> str:
        return self.digest[:12]


@dataclass(frozen=True)
class Files:
    """The first files of a list, and how many there are."""

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


def chain(statements: Mapping[str, Any]) -> list[Link]:
    """The stages in their order, from in-toto statements (v1) whose predicate is SLSA provenance (v1)."""
    written: dict[str, tuple[str, str]] = {}
    links = []
    for stage, statement in statements.items():
        inputs = [_file(entry, written) for entry in _dependencies(statement) if "digest" in entry]
        inputs = [file for file in inputs if file.name != REQUIREMENTS]
        outputs = [_file(entry, {}) for entry in statement.get("subject", [])]
        written |= {file.name: (stage, file.digest) for file in outputs}
        data = [file for file in inputs if not file.name.startswith(CODE)]
        links.append(Link(stage, _cut(data), _cut([file for file in inputs if file.name.startswith(CODE)], 100), _cut(outputs)))
    return links


def environment(statements: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What the stages ran in: internal parameters and packages with their values; more than one where the stages differ."""
    merged: dict[str, list[Any]] = {}
    for statement in statements.values():
        packages = {
            entry["name"]: entry["uri"].rpartition("@")[2] for entry in _dependencies(statement) if "digest" not in entry
        }
        locked = {
            entry["name"]: _file(entry, {}).short for entry in _dependencies(statement) if entry.get("name") == REQUIREMENTS
        }
        for key, found in {**_build(statement).get("internalParameters", {}), **packages, **locked}.items():
            values = merged.setdefault(key, [])
            if found not in values:
                values.append(found)
    return merged


def _build(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    definition: Mapping[str, Any] = statement["predicate"]["buildDefinition"]
    return definition


def _dependencies(statement: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The files, with a digest, and the packages, with a purl instead; anything else says nothing that can be checked."""
    entries: list[Mapping[str, Any]] = _build(statement).get("resolvedDependencies", [])
    return [entry for entry in entries if "digest" in entry or {"name", "uri"} <= entry.keys()]


def _file(entry: Mapping[str, Any], written: Mapping[str, tuple[str, str]]) -> File:
    digests = entry.get("digest") or {}
    digest = str(digests.get("sha256") or next(iter(digests.values()), ""))
    name = str(entry.get("name") or entry.get("uri") or "unnamed")
    origin, expected = written.get(name, ("", digest))
    return File(name, digest, origin, digest == expected)


def _cut(files: list[File], most: int = SHOWN) -> Files:
    return Files(files[:most], len(files))
