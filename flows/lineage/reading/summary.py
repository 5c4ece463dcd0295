"""The first lines about a result: verdict and metrics of its run, who recorded it first, and the journal's line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.lineage.history import WORKING_TREE, Snapshot, lock_at, read_history
from flows.lineage.journal import read_journal
from flows.lineage.lock import Locked, read_lock
from flows.lineage.printed import escaped
from flows.lineage.reading.chain import Writers, current_stages, writer
from flows.lineage.reading.list import runs_of
from flows.lineage.revisions import commit_of
from flows.lineage.statement import statement_path
from tasks.core.errors import GoodfitError

FIRST = ("evaluation.accuracy", "evaluation.log_loss")
EVALUATE, DIAGNOSE = "evaluate", "diagnose"


@dataclass(frozen=True)
class Summary:
    """What is known of a result beyond its tree."""

    verdict: str | None  # of the run that it belongs to; None where there is none, or where it belongs to an earlier one
    metrics: dict[str, Any]
    behind: list[str]  # stages of which this is so: they have not run since what they read was written anew
    commit: str  # that recorded it first; empty where none has
    date: str
    author: str
    why_not: str  # why there is no commit, in words
    journal: dict[str, Any] | None  # the line of the run that wrote it


def summarise(root: Path, path: str, revision: str | None = None) -> Summary:
    """What is known of the file or folder that a stage wrote.

    Raises:
        GoodfitError: there is no such revision.
    """
    lock = lock_at(root, revision) if revision is not None else read_lock(root)
    commit = commit_of(root, revision) if revision is not None else ""
    (run,) = runs_of(root, [Snapshot(revision or WORKING_TREE, "", lock, commit)])
    stage = writer(lock, path)
    current = current_stages(lock, Writers().of(lock))
    behind = [name for name in (EVALUATE, DIAGNOSE) if name in lock and name not in current]
    first, why_not = _first(root, lock, stage, path)
    return Summary(
        verdict=run.verdict,
        metrics={key: run.metrics[key] for key in FIRST if key in run.metrics},
        behind=behind,
        commit=first.name if first else "",
        date=first.date if first else "",
        author=first.author if first else "",
        why_not=why_not,
        journal=_journal(root, lock, stage),
    )


def _first(root: Path, lock: Mapping[str, Locked], stage: str | None, path: str) -> tuple[Snapshot | None, str]:
    """The commit that recorded these bytes first, whatever recorded them later; or why there is none."""
    if stage is None:
        return None, "not recorded in dvc.lock"
    outputs = {out: md5 for out, md5 in lock[stage].outs.items() if path == out or path.startswith(f"{out}/")}
    try:
        history = read_history(root, [stage])
    except GoodfitError as error:
        return None, f"no history: {error}"
    for snapshot in history.snapshots:
        entry = snapshot.stages.get(stage)
        if entry is not None and outputs.items() <= entry.outs.items():
            return snapshot, "this clone is shallow, and an older commit may have recorded it" if history.shallow else ""
    return None, "not committed yet"


def _journal(root: Path, lock: Mapping[str, Locked], stage: str | None) -> dict[str, Any] | None:
    """The newest run of the stage that wrote this very statement; None for one on another machine."""
    statement = lock[stage].outs.get(statement_path(stage).as_posix()) if stage else None
    ran = [line for line in read_journal(root) if line["stage"] == stage and line["outcome"] == "ran"]
    return next((line for line in reversed(ran) if statement and line.get("statement_md5") == statement), None)


def as_json(summary: Summary) -> dict[str, Any]:
    return dict(vars(summary))


def as_lines(summary: Summary) -> Iterator[str]:
    """Two or three lines."""
    words = [f"verdict {escaped(summary.verdict.replace('_', ' '))}"] if summary.verdict else []
    for key, value in summary.metrics.items():
        words.append(f"{key.partition('.')[2].replace('_', '-')} {value:.4f}")
    if words:
        yield ", ".join(words)
    for stage in summary.behind:
        yield f"what {stage} found is of an earlier run: it has not run since"
    if summary.commit:
        said = f"; {summary.why_not}" if summary.why_not else ""
        yield f"recorded first by {escaped(summary.commit)} ({summary.date[:16].replace('T', ' ')}, {escaped(summary.author)}){said}"
    else:
        yield summary.why_not
    if summary.journal:
        line = summary.journal
        when, door, host = (escaped(str(line.get(key, ""))) for key in ("started", "door", "host"))
        yield f"ran {when[:19].replace('T', ' ')} UTC through {door} on {host}"
