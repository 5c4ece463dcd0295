"""A stage's lineage statement as others read it: what the stage wrote, and from what.

On disk it is an in-toto Statement v1 with the SLSA provenance v1 predicate; this is the one place that knows that shape. It reads what
every version of goodfit wrote (the `buildType` ends with the version).
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.core.errors import ArtifactError
from tasks.core.files import read_text, repair

FOLDER = Path("lineage")
REQUIREMENTS = "requirements.lock"
IGNORE_FILE = ".dvcignore"
RESOLVED = "resolvedParameters"  # among the internal parameters
VARIABLES = "variables"  # among the internal parameters
UNDECLARED = "undeclared"  # an annotation
DIGEST_OF = "digestOf"  # an annotation of the lock file's entry, whose digests are not those of the file


class _Part(BaseModel):
    """Frozen and strict about types; keys of other tools are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Digest(NamedTuple):
    """The digests of one file: SHA-256 as evidence, MD5 to find it in the cache. Of 100,000 files: a model of pydantic takes longer."""

    sha256: str
    md5: str


class _Digests(_Part):
    sha256: str
    md5: str | None = None


class _Resource(_Part):
    """A file, which has both digests, or a package, which has a package URL and since version 2 the SHA-256 of its RECORD."""

    name: str
    digests: _Digests | None = Field(default=None, alias="digest")
    uri: str | None = None
    annotations: dict[str, Any] | None = None  # pydantic copies a mapping that is a default, for each of 100,000 files

    @property
    def digest(self) -> Digest | None:
        """Of a file; None for a package."""
        found = self.digests
        return Digest(sha256=found.sha256, md5=found.md5) if found and found.md5 and not self.uri else None

    @property
    def undeclared(self) -> bool:
        return bool(self.annotations and self.annotations.get(UNDECLARED))


class _External(_Part):
    stage: str
    command: str
    parameters: dict[str, Any]


class _Definition(_Part):
    external: _External = Field(alias="externalParameters")
    internal: dict[str, Any] = Field(alias="internalParameters")
    resolved: list[_Resource] = Field(alias="resolvedDependencies")


class _Builder(_Part):
    dependencies: list[_Resource] = Field(default=[], alias="builderDependencies")
    version: dict[str, str] = {}


class _Run(_Part):
    builder: _Builder = _Builder()


class _Predicate(_Part):
    definition: _Definition = Field(alias="buildDefinition")
    run: _Run = Field(default=_Run(), alias="runDetails")


class Statement(_Part):
    """What a stage wrote, and from what: files, packages, parameters and environment."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = Field(alias="predicateType")
    subject: list[_Resource]
    predicate: _Predicate

    @property
    def stage(self) -> str:
        return self.predicate.definition.external.stage

    @property
    def command(self) -> str:
        return self.predicate.definition.external.command

    @property
    def params(self) -> dict[str, Any]:
        """The parameters that the stage depends on, nested as in params.yaml."""
        return self.predicate.definition.external.parameters

    @property
    def environment(self) -> dict[str, Any]:
        """What else decides the bytes of the outputs, such as the Python version, and the environment variables that were set."""
        internal = self.predicate.definition.internal
        return {key: value for key, value in internal.items() if key not in (RESOLVED, VARIABLES)} | self.variables

    @property
    def variables(self) -> dict[str, Any]:
        """The environment variables that can change a bit and were set, by name."""
        found: dict[str, Any] = self.predicate.definition.internal.get(VARIABLES, {})
        return found

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default that params.yaml does not state; those as stated where the statement has no others."""
        found: dict[str, Any] = self.predicate.definition.internal.get(RESOLVED, self.params)
        return found

    @cached_property
    def outputs(self) -> dict[str, Digest]:
        """By path. As the other mappings of files, listed once: it takes a moment where they are many."""
        return {entry.name: entry.digest for entry in self.subject if entry.digest}

    @cached_property
    def inputs(self) -> dict[str, Digest]:
        """Data and code, by path, as dvc.yaml declares them."""
        return {entry.name: digest for entry, digest in self.sealed if entry is not self.lock and not _is_ignore_file(entry)}

    @cached_property
    def ignore_files(self) -> dict[str, Digest]:
        """Every .dvcignore that had a say in which files of a folder were inputs, by path."""
        return {entry.name: digest for entry, digest in self.sealed if _is_ignore_file(entry)}

    @cached_property
    def sealed(self) -> list[tuple[_Resource, Digest]]:
        """Inputs, every .dvcignore and the lock of the environment."""
        entries = self.predicate.definition.resolved
        return [(entry, digest) for entry in entries if not entry.undeclared and (digest := entry.digest)]

    @cached_property
    def lock(self) -> _Resource | None:
        """What the environment's lock file locks; a stage may declare the file as well, and then there is an input of that name.

        Version 1, which names no builder, had no annotation there.
        """
        named = (entry for entry, _ in self.sealed if entry.name == REQUIREMENTS)
        return next((entry for entry in named if not self.builder or DIGEST_OF in (entry.annotations or {})), None)

    @cached_property
    def undeclared(self) -> dict[str, Digest]:
        """What the stage read or ran outside of the repository, libraries aside, by path."""
        entries = self.predicate.definition.resolved
        return {entry.name: entry.digest for entry in entries if entry.digest and entry.undeclared}

    @cached_property
    def builder(self) -> dict[str, Digest]:
        """The code that decided and recorded, by path; none in a statement of version 1."""
        return {entry.name: entry.digest for entry in self.predicate.run.builder.dependencies if entry.digest}

    @property
    def builder_version(self) -> dict[str, str]:
        """By the name of the software."""
        return self.predicate.run.builder.version

    @cached_property
    def files(self) -> dict[str, Digest]:
        """Inputs and outputs, by path."""
        return self.inputs | self.outputs

    @property
    def requirements(self) -> Digest | None:
        """Of what the lock file of the environment locks, where the repository has one; in a statement of version 1 of its text."""
        return self.lock.digest if self.lock else None

    @property
    def packages(self) -> dict[str, str]:
        """Package URLs (`pkg:pypi/torch@2.15.0`), by name."""
        return {entry.name: entry.uri for entry in self.predicate.definition.resolved if entry.uri}

    @property
    def package_digests(self) -> dict[str, str]:
        """SHA-256 of each package's RECORD (flows/lineage/packages.py), by name; none in a statement of version 1."""
        entries = self.predicate.definition.resolved
        return {entry.name: entry.digests.sha256 for entry in entries if entry.uri and entry.digests}


def _is_ignore_file(entry: _Resource) -> bool:
    return entry.name.rpartition("/")[2] == IGNORE_FILE


def read_statement(root: Path, stage: str) -> Statement:
    """Read `lineage/<stage>.json`.

    Raises:
        ArtifactError: it is missing, is not a statement, or is that of another stage.
    """
    path = root / FOLDER / f"{stage}.json"
    try:
        statement = Statement.model_validate_json(read_text(path, stage))
    except (ValueError, OSError) as error:  # not UTF-8, not JSON, another shape; or a folder
        reason = _first(error) if isinstance(error, ValidationError) else str(error)
        raise ArtifactError(f"{path} is not an in-toto statement with SLSA provenance ({reason}): {repair(stage)}") from None
    if statement.stage != stage:
        raise ArtifactError(
            f"{path} is the statement of stage '{statement.stage}'; expected that of '{stage}': {repair(stage)}"
        )
    return statement


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def read_statements(root: Path) -> list[Statement]:
    """Every statement of `lineage/`, sorted by stage.

    Raises:
        ArtifactError: one of them is not a statement.
    """
    return [read_statement(root, path.stem) for path in sorted((root / FOLDER).glob("*.json"))]


def upstream(statements: Sequence[Statement], files: Iterable[str]) -> list[Statement]:
    """The statements of all stages that `files` come from, directly or not; each after those whose outputs it reads.

    Raises:
        ArtifactError: stages read each other's outputs in a circle, which statements of one run cannot do.
    """
    by_stage = {statement.stage: statement for statement in statements}
    writer = {name: statement.stage for statement in statements for name in statement.outputs}
    before: dict[str, list[str]] = {}
    waiting = sorted({writer[name] for name in files if name in writer})
    while waiting:
        stage = waiting.pop()
        if stage not in before:
            before[stage] = sorted({writer[name] for name in by_stage[stage].inputs if name in writer})
            waiting += before[stage]
    try:
        order = TopologicalSorter(dict(sorted(before.items()))).static_order()
        return [by_stage[stage] for stage in order]
    except CycleError as error:
        circle = ", ".join(error.args[1])
        raise ArtifactError(f"lineage/: stages read each other's outputs in a circle ({circle}): run them all again") from None
