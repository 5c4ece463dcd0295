"""Why a stage ran last: what its entry in dvc.lock has otherwise than the one before it in Git's history, and what made that so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.lineage.history import WORKING_TREE, History, Snapshot, read_line
from flows.lineage.journal import read_journal
from flows.lineage.listing import FOLDER
from flows.lineage.lock import Locked, read_lock
from flows.lineage.objects import Objects
from flows.lineage.reading.causes import NOT_STATED, Cause, differing, leaves, listed
from flows.lineage.reading.chain import writer
from flows.lineage.revisions import recorded_commit
from flows.lineage.statement import flat, statement_path
from tasks.core.settings import PARAMS_FILE

FIRST_RUN = "first run"


@dataclass(frozen=True)
class Past:
    """How the entry of a stage came to be what it is."""

    stage: str
    recorded_by: str  # the commit that recorded it, or "working tree" where none has
    date: str  # of that commit, ISO 8601; empty for the working tree
    author: str
    before: str  # the commit with the entry before it; empty where there is none
    causes: list[Cause]  # none where a run with the same inputs wrote other outputs, or the same again
    roots: list[tuple[str, Cause]]  # of earlier stages: what changed first, with the stage that it belongs to
    same_outputs: bool  # as the entry before, the statement aside
    journal: dict[str, Any] | None  # the newest line of this stage; of a revision, of what it records
    again: bool  # the journal has a run with the same statement before that one


@dataclass(frozen=True)
class Line:
    """The dvc.lock of each commit on the way to here, and that of the working tree where it differs; or on the way to a `revision`."""

    snapshots: list[Snapshot]
    history: History
    revision: str = ""


def read_past(root: Path, revision: str | None = None) -> Line:
    """The states of dvc.lock, the oldest first, up to the working tree or to a revision.

    Raises:
        GoodfitError: there is no Git, or no Git repository, or the revision records nothing.
    """
    if revision is not None:
        history = read_line(root, recorded_commit(root, revision))
        return Line(history.snapshots, history, revision)
    history, now = read_line(root), read_lock(root)
    snapshots = list(history.snapshots)
    if now and (not snapshots or snapshots[-1].stages != now):
        snapshots.append(Snapshot(WORKING_TREE, "", now))
    return Line(snapshots, history)


def past(root: Path, line: Line, stage: str) -> Past | None:
    """Why a stage ran last; None where nothing is recorded of it."""
    at = _changed_at(line.snapshots, stage, len(line.snapshots) - 1)
    if at is None:
        return None
    snapshots = line.snapshots
    recorded, before = snapshots[at], snapshots[at - 1].stages.get(stage) if at else None
    causes = _causes(root, snapshots, at, stage)
    entry = recorded.stages[stage]
    mine = [done for done in read_journal(root) if done["stage"] == stage]
    statement = entry.outs.get(statement_path(stage).as_posix())
    same = [done for done in mine if done["outcome"] == "ran" and statement and done.get("statement_md5") == statement]
    if line.revision:  # what was run since does not belong to it
        mine = same
    return Past(
        stage=stage,
        recorded_by=recorded.name,
        date=recorded.date,
        author=recorded.author,
        before=snapshots[at - 1].name if before else "",
        causes=causes,
        roots=list(dict.fromkeys(_roots(root, snapshots, at, causes))),
        same_outputs=before is not None and _results(before, stage) == _results(entry, stage),
        journal=mine[-1] if mine else None,
        again=len(same) > 1 and mine[-1] is same[-1],
    )


def _changed_at(snapshots: Sequence[Snapshot], stage: str, end: int) -> int | None:
    """The place of the newest snapshot up to `end` whose entry differs from that of the one before it."""
    for place in range(end, -1, -1):
        entry = snapshots[place].stages.get(stage)
        if entry is not None and (place == 0 or snapshots[place - 1].stages.get(stage) != entry):
            return place
    return None


def _causes(root: Path, snapshots: Sequence[Snapshot], at: int, stage: str) -> list[Cause]:
    entry = snapshots[at].stages[stage]
    before = snapshots[at - 1].stages.get(stage) if at else None
    return [Cause(FIRST_RUN, stage)] if before is None else list(differences(root, before, entry, snapshots[at].stages, stage))


def differences(root: Path, before: Locked, after: Locked, stages: dict[str, Locked], stage: str) -> Iterator[Cause]:
    """What a stage depends on and two of its entries have otherwise; `stages` are those beside the later one."""
    if before.command != after.command:
        yield Cause("command", "cmd", before.command, after.command)
    yield from leaves(f"{PARAMS_FILE}: ", before.params, after.params)
    objects = Objects(root)
    for path in sorted(before.deps.keys() | after.deps.keys()):
        digest, newer = before.deps.get(path), after.deps.get(path)
        if digest != newer:
            state = "modified" if digest and newer else "new" if newer else "no longer read"
            files = _files(objects, before, after, stage, path) if state == "modified" else ()
            yield Cause("input", path, digest, newer, state, writer(stages, path), files)
    yield from _environment(root, before, after, stage)


def _files(objects: Objects, before: Locked, after: Locked, stage: str, path: str) -> tuple[str, ...]:
    """The files of a folder that differ between two runs of a stage that read it."""
    if not (before.deps[path].endswith(FOLDER) and after.deps[path].endswith(FOLDER)):
        return ()
    return differing(*(listed(objects, entry, stage, path, entry.deps[path]) for entry in (before, after)))


def _environment(root: Path, before: Locked, after: Locked, stage: str) -> Iterator[Cause]:
    """What the statements of both say of packages and machine, where DVC's cache has both."""
    objects, own = Objects(root), statement_path(stage).as_posix()
    old, new = objects.statement(before.outs.get(own)), objects.statement(after.outs.get(own))
    if old is None or new is None:
        return
    for kind, one, other in (
        ("package", _versions(old.packages), _versions(new.packages)),
        ("environment", flat(old.environment), flat(new.environment)),
    ):
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                yield Cause(kind, name, one.get(name, NOT_STATED), other.get(name, NOT_STATED))


def _versions(packages: dict[str, str]) -> dict[str, Any]:
    return {name: uri.rpartition("@")[2] for name, uri in packages.items()}


def _roots(root: Path, snapshots: Sequence[Snapshot], at: int, causes: Sequence[Cause]) -> Iterator[tuple[str, Cause]]:
    """What changed first, behind the inputs that other stages wrote."""
    for name in dict.fromkeys(cause.made_by for cause in causes if cause.made_by):
        place = _changed_at(snapshots, name, at)
        if place is None:
            continue
        found = _causes(root, snapshots, place, name)
        yield from ((name, cause) for cause in found if not cause.made_by)
        yield from _roots(root, snapshots, place, found)


def _results(entry: Locked, stage: str) -> dict[str, str]:
    own = statement_path(stage).as_posix()
    return {path: md5 for path, md5 in entry.outs.items() if path != own}
