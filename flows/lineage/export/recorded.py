"""A recorded run, as the formats of `goodfit lineage export` read it: nothing in it is from outside of the record.

What it holds is what dvc.lock, the statements, Git's history of dvc.lock and the journal say. A file whose content goes into an export
is compared with the digest in its stage's statement before it is read.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from flows.git import git_or_none
from flows.lineage.digest import digest_file, list_digest
from flows.lineage.journal import read_journal
from flows.lineage.lock import LOCK_FILE, read_lock
from flows.lineage.record import check_record
from flows.lineage.statement import statement_path
from flows.parameters.checking import own_stages
from tasks.contracts.findings import DIAGNOSIS, Diagnosis
from tasks.contracts.results import EVALUATION
from tasks.contracts.splits import FOLDER as PROCESSED
from tasks.contracts.statement import Digest, Statement, read_statement, upstream
from tasks.contracts.trained import MODEL, WEIGHTS
from tasks.core.errors import ArtifactError, GoodfitError

DATASET = PROCESSED / "dataset.json"
VERIFY = "`goodfit lineage verify` says what else does not match"


@dataclass(frozen=True)
class Commit:
    """The commit that recorded this dvc.lock."""

    id: str
    date: str  # of the committer, ISO 8601 with the offset from UTC


@dataclass(frozen=True)
class Times:
    """When a stage ran, ISO 8601 with the offset from UTC."""

    started: str
    finished: str
    source: str  # "journal", or "commit": only the commit that recorded the stage has a date, and both times are its


class Package(NamedTuple):
    """A package of a stage's environment, as its statement names it."""

    name: str
    version: str


class Builder(NamedTuple):
    """The goodfit that wrote a statement."""

    version: str  # empty where the statement does not say
    files: int  # of its own code that ran; 0 in a statement of version 1, which does not name them
    sha256: str  # what `sha256sum FILE… | sha256sum` prints for them; empty without any

    @property
    def name(self) -> str:
        return f"goodfit {self.version}" if self.version else "goodfit, in a version that is not recorded"

    @property
    def code(self) -> str:
        """In words."""
        return f"{self.files} files of its own code, SHA-256 of their list {self.sha256}" if self.files else "no code is named"


class Undeclared(NamedTuple):
    """A file from outside of the repository that a stage read or ran, libraries aside, and that dvc.yaml does not declare."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Recorded:
    """The stages that dvc.lock records, each after those whose outputs it reads, and what their statements say."""

    root: Path  # where the files lie
    stages: Mapping[str, Statement]
    own: Mapping[str, Digest]  # by stage, the digests of the statement itself
    anchored: tuple[Path, str] | None = None  # the Git repository and the commit, where the files are not the working tree's

    @cached_property
    def writers(self) -> dict[str, str]:
        """By path, the stage that wrote a file; the statements themselves are files as well."""
        files = {path: name for name, statement in self.stages.items() for path in statement.outputs}
        return files | {statement_path(name).as_posix(): name for name in self.stages}

    @cached_property
    def files(self) -> dict[str, Digest]:
        """Every file of the record by its path, sorted: inputs, outputs and statements."""
        found = {path: digest for statement in self.stages.values() for path, digest in statement.files.items()}
        return dict(sorted((found | {statement_path(name).as_posix(): digest for name, digest in self.own.items()}).items()))

    @property
    def sources(self) -> dict[str, Digest]:
        """The data that no stage wrote, by path: where the lineage begins."""
        return {path: digest for path, digest in self.files.items() if path not in self.writers and not is_code(path)}

    @property
    def code(self) -> dict[str, Digest]:
        """The files of Python that the stages read, by path."""
        return {path: digest for path, digest in self.files.items() if path not in self.writers and is_code(path)}

    @property
    def packages(self) -> list[Package]:
        """Those that the statements name, sorted; stages that ran at other times may name other versions."""
        return sorted({package for stage in self.stages for package in self.packages_of(stage)})

    def packages_of(self, stage: str) -> list[Package]:
        """Those that one statement names, sorted."""
        return sorted(Package(name, uri.rpartition("@")[2]) for name, uri in self.stages[stage].packages.items())

    def builder_of(self, stage: str) -> Builder:
        """What wrote one statement."""
        statement = self.stages[stage]
        code = {path: digest.sha256 for path, digest in statement.builder.items()}
        return Builder(statement.builder_version.get("goodfit", ""), len(code), list_digest(code) if code else "")

    @property
    def builders(self) -> dict[Builder, list[str]]:
        """What wrote the statements, each with its stages; one that loaded fewer of its modules for a stage is another one."""
        found: dict[Builder, list[str]] = {}
        for stage in self.stages:
            found.setdefault(self.builder_of(stage), []).append(stage)
        return found

    def undeclared_of(self, stage: str) -> list[Undeclared]:
        """Those that one statement names, sorted."""
        return sorted(Undeclared(path, digest.sha256) for path, digest in self.stages[stage].undeclared.items())

    @property
    def undeclared(self) -> dict[Undeclared, list[str]]:
        """The undeclared external files, sorted, each with the stages that read it."""
        found: dict[Undeclared, list[str]] = {}
        for stage in self.stages:
            for file in self.undeclared_of(stage):
                found.setdefault(file, []).append(stage)
        return dict(sorted(found.items()))

    @property
    def id(self) -> UUID:
        """The same for the same statements, and no other: version 5, of the digests of all."""
        listing = "".join(f"{stage} {digest.sha256}\n" for stage, digest in sorted(self.own.items()))
        return _uuid(sha256(listing.encode()).digest())

    def stage_id(self, stage: str) -> UUID:
        """The same for the same statement, and no other: version 5, of its digest."""
        return _uuid(bytes.fromhex(self.own[stage].sha256))

    def outputs(self, stage: str) -> dict[str, Digest]:
        """What a stage wrote, with its statement, by path."""
        return {**self.stages[stage].outputs, statement_path(stage).as_posix(): self.own[stage]}

    def statement(self, stage: str) -> Statement:
        """The statement of a stage that a format cannot do without.

        Raises:
            ArtifactError: the record has no such stage.
        """
        if stage not in self.stages:
            raise ArtifactError(f"{LOCK_FILE} records no stage '{stage}', which this format needs: `dvc repro {stage}`")
        return self.stages[stage]

    def text(self, path: Path, stage: str) -> str:
        """A file that `stage` read or wrote, after a look at whether its bytes are those of the statement.

        Raises:
            ArtifactError: the record has no such stage or file, or the file is another one.
        """
        if path.as_posix() not in self.statement(stage).files:
            raise ArtifactError(f"the statement of '{stage}' names no {path.as_posix()}: `dvc repro {stage}`")
        self.check(path.as_posix())
        return (self.root / path).read_text(encoding="utf-8")

    def check(self, path: str) -> None:
        """Hash a file of the record, the first time.

        Raises:
            ArtifactError: it is missing, or another one than was recorded.
        """
        recorded, place = self.files[path], self.root / path
        if path in self._checked:
            return
        if not place.exists():
            raise missing(path)
        found = digest_file(place)
        if found != recorded:
            raise ArtifactError(
                f"{path} has sha256 {found.sha256}; its statement has {recorded.sha256}, and an export holds only what was recorded: "
                f"{VERIFY}"
            )
        self._checked.add(path)

    @cached_property
    def _checked(self) -> set[str]:
        """Files that were hashed: each is read once."""
        return set()

    @cached_property
    def evaluation(self) -> dict[str, float]:
        """The metrics of the stage `evaluate`, by name: `n` test images, `accuracy`, `accuracy_ci_low`, …"""
        found: dict[str, float] = json.loads(self.text(EVALUATION, "evaluate"))
        return found

    @property
    def confidence(self) -> float:
        """Of the intervals of `evaluation`."""
        return float(self.statement("evaluate").resolved["evaluate"]["confidence"])

    @property
    def scored(self) -> str:
        """The file of the model that `evaluation` is about: `evaluate.model` may name one that `compress` made."""
        return str(self.statement("evaluate").resolved["evaluate"]["model"])

    @property
    def scores_the_model(self) -> bool:
        """Whether that is the trained model itself."""
        return self.scored == WEIGHTS.as_posix()

    @cached_property
    def diagnosis(self) -> Diagnosis:
        return Diagnosis.model_validate_json(self.text(DIAGNOSIS, "diagnose"))

    @cached_property
    def model(self) -> dict[str, Any]:
        """`model.json`: the model's name and options, the shape of an image, the classes."""
        found: dict[str, Any] = json.loads(self.text(MODEL, "train"))
        return found

    @cached_property
    def dataset(self) -> dict[str, Any]:
        """`dataset.json`: the name, the classes, and how many images of each are in each split."""
        found: dict[str, Any] = json.loads(self.text(DATASET, "preprocess"))
        return found

    @property
    def name(self) -> str:
        """What the model is called: `mlp on digits`. A project has no other name that its clones share."""
        return f"{self.model['model']['name']} on {self.dataset['name']}"

    @property
    def weights(self) -> Digest:
        """Of the trained model's file."""
        return self.statement("train").outputs[WEIGHTS.as_posix()]

    @cached_property
    def commit(self) -> Commit | None:
        """The last commit that changed dvc.lock; None where dvc.lock is not committed as it is."""
        if self.anchored is None and git_or_none(self.root, "status", "--porcelain", "--", LOCK_FILE) != b"":  # None: no Git
            return None
        return next(iter(self.commits), None)

    @cached_property
    def commits(self) -> list[Commit]:
        """Every commit that changed dvc.lock, up to HEAD or the exported commit, the newest first."""
        root, last = self.anchored or (self.root, "HEAD")
        listed = (git_or_none(root, "rev-list", "--format=%H%x09%cI", last, "--", LOCK_FILE) or b"").decode()
        return [Commit(*line.split("\t")) for line in listed.splitlines() if not line.startswith("commit ")]

    def times(self, stage: str) -> Times:
        """When the stage ran: the first line of the journal that says it wrote this statement, or else the commit's date.

        Raises:
            GoodfitError: neither says so.
        """
        for entry in self._journal:
            same = (entry["stage"], entry["outcome"], entry.get("statement_md5")) == (stage, "ran", self.own[stage].md5)
            if same and _is_time(entry["started"]) and _is_time(entry["finished"]):
                return Times(entry["started"], entry["finished"], "journal")
        if self.commit is None:
            raise GoodfitError(
                f"nothing says when '{stage}' ran, which this format has to state: neither the journal of this folder nor a commit, as "
                f"{LOCK_FILE} is not committed: commit it"
            )
        return Times(self.commit.date, self.commit.date, "commit")

    @cached_property
    def _journal(self) -> list[dict[str, Any]]:
        return list(read_journal(self.anchored[0] if self.anchored else self.root))


def read_recorded(root: Path) -> Recorded:
    """The run that dvc.lock records.

    Raises:
        GoodfitError: nothing is recorded, a statement is not the one of dvc.lock, or a stage read what has been written anew since.
    """
    problems = check_record(root)
    lock = read_lock(root)
    statements = [read_statement(root, name) for name in own_stages(root) if name in lock]
    if not statements:
        raise GoodfitError(f"{LOCK_FILE} records no stage of goodfit yet: `dvc repro` or `goodfit run`")
    ordered = upstream(statements, [path for statement in statements for path in statement.outputs])
    found = Recorded(
        root,
        {statement.stage: statement for statement in ordered},
        {statement.stage: digest_file(root / statement_path(statement.stage)) for statement in ordered},
    )
    problems += list(_out_of_date(found))
    if problems:
        raise GoodfitError(f"{problems[0]}; an export holds only a record that is whole: {VERIFY}")
    return found


@contextmanager
def recorded_at(root: Path, revision: str | None) -> Iterator[Recorded]:
    """The run that a commit, branch, tag or experiment records, its outputs from DVC's cache; that of the working tree without one.

    Raises:
        GoodfitError: as `read_recorded`, or there is no such revision, or a statement of it is not in DVC's cache.
    """
    if revision is None:
        yield read_recorded(root)
        return
    from flows.lineage.revisions import recorded_commit
    from flows.lineage.verification.revision import checked_out

    commit = recorded_commit(root, revision)
    with checked_out(root, commit) as there:
        lock = read_lock(there)
        for name in own_stages(there):
            if name in lock and not (there / statement_path(name)).exists():
                raise missing(statement_path(name).as_posix())
        yield replace(read_recorded(there), anchored=(root, commit))


def missing(path: str) -> ArtifactError:
    """The error of a file that is not there."""
    return ArtifactError(
        f"{path} is missing: `dvc checkout` or `git checkout {path}` brings it back; what a revision needs, `dvc fetch --all-commits` "
        "brings from a remote"
    )


def _is_time(text: Any) -> bool:
    """The journal is a file that anybody can edit, and a killed process can leave half of a line in it."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _uuid(digest: bytes) -> UUID:
    """Of the URI that names content by its SHA-256 (RFC 6920)."""
    return uuid5(NAMESPACE_URL, f"ni:///sha-256;{urlsafe_b64encode(digest).decode().rstrip('=')}")


def is_code(path: str) -> bool:
    return path.endswith(".py")


def _out_of_date(found: Recorded) -> Iterator[str]:
    written = {path: digest for name in found.stages for path, digest in found.outputs(name).items()}
    for name, statement in found.stages.items():
        for path, digest in statement.inputs.items():
            if digest != written.get(path, digest):
                yield f"{name} read {path} with sha256 {digest.sha256}, and since then {found.writers[path]} wrote another one"
