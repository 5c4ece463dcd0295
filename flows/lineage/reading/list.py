"""List: every run that Git's history and DVC's experiments record, with its verdict, metrics, parameters and digests."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lineage.blobs import contents, objects_at
from flows.lineage.history import WORKING_TREE, History, Snapshot, read_history
from flows.lineage.lock import Locked, read_lock
from flows.lineage.objects import Objects
from flows.lineage.printed import cell, console, table
from flows.lineage.reading.chain import Writers, current_stages
from flows.lineage.statement import flat, iso, shown
from tasks.contracts.findings import DIAGNOSIS, SUMMARY
from tasks.contracts.trained import WEIGHTS
from tasks.core.errors import UnknownNameError
from tasks.core.settings import expected_names
from tasks.sources.source import RAW

if TYPE_CHECKING:
    import pandas as pd

METRICS = "metrics/"  # the files of metrics, which Git has
FIRST = ("accuracy", "log_loss")  # of the metrics, those that the screen shows
SHORT = 8  # hex digits of a digest on the screen
MOST_PARAMS = 8  # on the screen
UNLIMITED = 10_000  # columns


@dataclass(frozen=True)
class Run:
    """What one distinct dvc.lock records; digests are MD5, None where the lock has no such file."""

    revision: str  # the experiment, the abbreviated commit, or "working tree"
    commit: str  # that had this dvc.lock first; empty for the working tree
    date: str
    author: str
    experiment: bool
    verdict: str | None
    metrics: dict[str, Any]  # by file and key: evaluation.accuracy
    params: dict[str, Any]  # by key: train.epochs
    data: str | None
    model: str | None


@dataclass(frozen=True)
class Listing:
    """The runs, the newest first, and sentences on what cannot be seen."""

    runs: list[Run]
    not_seen: list[str]

    def differing(self) -> list[str]:
        """The parameters that not all runs have the same; first those that have several values, then those that some runs lack."""
        keys = dict.fromkeys(key for run in self.runs for key in run.params)
        several = set(self.varying())
        lacking = [key for key in keys if key not in several and any(key not in run.params for run in self.runs)]
        return [*(key for key in keys if key in several), *lacking]

    def varying(self) -> list[str]:
        """The parameters that have several values among the runs that state them."""
        values: dict[str, set[str]] = {}
        for run in self.runs:
            for key, value in run.params.items():
                values.setdefault(key, set()).add(json.dumps(value, default=iso))
        return [key for key, found in values.items() if len(found) > 1]

    def measured(self) -> list[str]:
        return list(dict.fromkeys(key for run in self.runs for key in run.metrics))


def runs(root: Path = Path()) -> "pd.DataFrame":
    """Every recorded run as a table, one row for each distinct dvc.lock, the newest first.

    Columns: revision (the experiment, the abbreviated commit, or "working tree"), commit, date (with its time zone), author,
    experiment (whether it is one of DVC's), verdict; `metrics.FILE.KEY`, such as `metrics.evaluation.accuracy`, for each number of
    metrics/*.json; `params.KEY` for each parameter that differs between the runs; data and model, the MD5 of data/raw and of
    models/model.safetensors. What a run does not have is missing (None or NaN).

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    import pandas as pd

    listing = collect(root)
    params = listing.differing()
    rows = [
        {"revision": run.revision, "commit": run.commit, "date": run.date, "author": run.author}
        | {"experiment": run.experiment, "verdict": run.verdict}
        | {f"metrics.{key}": run.metrics.get(key) for key in listing.measured()}
        | {f"params.{key}": run.params.get(key) for key in params}
        | {"data": run.data, "model": run.model}
        for run in listing.runs
    ]
    columns = ["revision", "commit", "date", "author", "experiment", "verdict", "data", "model"]
    frame = pd.DataFrame(rows, columns=None if rows else columns)
    frame["date"] = pd.to_datetime(frame["date"], utc=True)
    return frame


def collect(root: Path) -> Listing:
    """The runs, without pandas.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    history = read_history(root)
    return Listing(runs_of(root, with_working_tree(root, history.snapshots))[::-1], not_seen(history))


def with_working_tree(root: Path, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """The snapshots by their date, and what dvc.lock records here where none of them has it."""
    found, now = sorted(snapshots, key=lambda snapshot: snapshot.time), read_lock(root)
    if now and all(snapshot.stages != now for snapshot in found):
        found.append(Snapshot(WORKING_TREE, "", now))
    return found


def runs_of(root: Path, snapshots: Sequence[Snapshot]) -> list[Run]:
    """The run of each snapshot, in their order, with its metrics from its commit or from the working tree."""
    objects, writers = Objects(root), Writers()
    committed = _committed_metrics(root, [snapshot for snapshot in snapshots if snapshot.commit])
    return [
        _run(objects, one, writers, committed.get(one.commit, {}) if one.commit else _metrics_here(root, one.stages))
        for one in snapshots
    ]


def not_seen(history: History) -> list[str]:
    """What the history of a repository lacks, in sentences."""
    sentences = []
    if history.shallow:
        sentences.append("This clone is shallow, and what older commits recorded cannot be seen: `git fetch --unshallow`.")
    if history.unreadable:
        names = ", ".join(history.unreadable)
        sentences.append(f"The dvc.lock of {names} is not what DVC writes and was left out.")
    return sentences


def _run(objects: Objects, snapshot: Snapshot, writers: Writers, files: Mapping[str, bytes]) -> Run:
    outs = {path: md5 for stage in snapshot.stages.values() for path, md5 in stage.outs.items()}
    current = current_stages(snapshot.stages, writers.of(snapshot.stages))
    own = {path: md5 for name in current for path, md5 in snapshot.stages[name].outs.items()}  # not of an earlier run
    metrics = {path: _flat(content) for path, content in files.items() if path in own and _is(content, own[path])}
    summary = metrics.get(SUMMARY.as_posix()) or _flat((objects.text(own.get(DIAGNOSIS.as_posix())) or "").encode())
    verdict = summary.get("verdict")
    return Run(
        revision=snapshot.name,
        commit=snapshot.commit,
        date=snapshot.date,
        author=snapshot.author,
        experiment=snapshot.experiment,
        verdict=str(verdict) if verdict is not None else None,
        metrics={
            f"{Path(path).stem}.{key}": value
            for path, values in metrics.items()
            for key, value in values.items()
            if isinstance(value, int | float)
        },
        params={key: value for stage in snapshot.stages.values() for key, value in flat(stage.params).items()},
        data=outs.get(RAW.as_posix()),
        model=outs.get(WEIGHTS.as_posix()),
    )


def _is(content: bytes, md5: str) -> bool:
    """Whether a file is the one that dvc.lock records: a commit may have one of them without the other."""
    import hashlib

    return hashlib.md5(content, usedforsecurity=False).hexdigest() == md5


def _flat(content: bytes) -> dict[str, Any]:
    """The values of a file of JSON under their whole keys; none where it holds something else, or lists within lists without end."""
    try:
        found = json.loads(content)
        return flat(found) if isinstance(found, dict) else {}
    except (ValueError, RecursionError):
        return {}


def _metrics_of(stages: Mapping[str, Locked]) -> list[str]:
    return [path for stage in stages.values() for path in stage.outs if path.startswith(METRICS) and path.endswith(".json")]


def _committed_metrics(root: Path, snapshots: Iterable[Snapshot]) -> dict[str, dict[str, bytes]]:
    """The content of each file of metrics, by commit and path."""
    places = [(snapshot.commit, path) for snapshot in snapshots for path in _metrics_of(snapshot.stages)]
    found = objects_at(root, places)
    read = dict(contents(root, found.values()))
    by_commit: dict[str, dict[str, bytes]] = {}
    for (commit, path), name in found.items():
        by_commit.setdefault(commit, {})[path] = read[name]
    return by_commit


def _metrics_here(root: Path, stages: Mapping[str, Locked]) -> dict[str, bytes]:
    return {path: (root / path).read_bytes() for path in _metrics_of(stages) if (root / path).is_file()}


def arranged(listing: Listing, sort_by: str | None, reverse: bool, number: int | None) -> Listing:
    """The first `number` runs after sorting by a column, small values first and what has none last.

    Raises:
        UnknownNameError: there is no such column.
    """
    found = list(listing.runs)
    if sort_by is not None:
        values = _column(listing, sort_by)
        order = sorted(
            (place for place, value in enumerate(values) if value is not None),
            key=lambda place: (isinstance(values[place], str), values[place]),
            reverse=reverse,
        )
        found = [listing.runs[place] for place in [*order, *(place for place, value in enumerate(values) if value is None)]]
    elif reverse:
        found.reverse()
    return Listing(found[:number], listing.not_seen)


def _column(listing: Listing, name: str) -> list[Any]:
    """The values of a column, texts as they are shown; a metric may be named without its file."""
    fields = ("date", "revision", "author", "verdict", "data", "model")
    if name == "date":
        return [datetime.fromisoformat(run.date).timestamp() if run.date else None for run in listing.runs]
    if name in fields:
        return [getattr(run, name) for run in listing.runs]
    metrics = [key for key in listing.measured() if name in (key, key.partition(".")[2])]
    if metrics:
        return [run.metrics.get(metrics[0]) for run in listing.runs]
    known = {key for run in listing.runs for key in run.params}
    if name in known:
        values = [run.params.get(name) for run in listing.runs]
        return [value if value is None or isinstance(value, int | float) else shown(value) for value in values]
    metric_names = [key.partition(".")[2] for key in listing.measured()]
    raise UnknownNameError(
        f"unknown column '{name}'; {expected_names(name, [*fields, *metric_names])}, or a parameter such as train.epochs"
    )


def as_json(listing: Listing) -> dict[str, Any]:
    """Each run with its metrics and with those parameters that differ between the runs."""
    params = listing.differing()
    return {
        "runs": [vars(run) | {"params": {key: run.params[key] for key in params if key in run.params}} for run in listing.runs],
        "not_seen": listing.not_seen,
    }


def as_table(listing: Listing, params: Sequence[str], author_width: int = UNLIMITED) -> Any:
    """The runs for a terminal (a rich.table.Table), with columns for these parameters; authors are cut to a width."""
    metrics = [key for key in listing.measured() if key.partition(".")[2] in FIRST] or listing.measured()[:4]
    names = [key.partition(".")[2] for key in metrics]
    made = table("revision", "date", "author", "verdict", *names, *params, "data", "model", right=(*names, *params))
    made.columns[1].no_wrap = True  # a date in two lines is hard to read
    for run in listing.runs:
        author = run.author if len(run.author) <= author_width else f"{run.author[: author_width - 1]}…"
        made.add_row(
            *(cell(text) for text in (run.revision, run.date[:16].replace("T", " "), author)),
            cell(run.verdict.replace("_", " ") if run.verdict else None),
            *(cell(_rounded(run.metrics.get(key))) for key in metrics),
            *(cell(shown(run.params[key]) if key in run.params else None) for key in params),
            *(cell(digest[:SHORT] if digest else None) for digest in (run.data, run.model)),
        )
    return made


def fitted(listing: Listing, width: int) -> tuple[Any, str]:
    """The table with the first parameters that have several values, as far as they fit into a width, and a sentence on the others.

    Where the table is too wide without any, the names of the authors are cut. A parameter that a run only lacks came or went with the
    code, as a rule; it has no column.
    """
    params, target = listing.differing(), console()
    unlimited = target.options.update(max_width=UNLIMITED)  # with the terminal's own width no table measures more than that
    kept = min(len(listing.varying()), MOST_PARAMS)
    while kept and target.measure(as_table(listing, params[:kept]), options=unlimited).maximum > width:
        kept -= 1
    made = as_table(listing, params[:kept])
    excess = target.measure(made, options=unlimited).maximum - width
    if excess > 0:
        longest = max((len(run.author) for run in listing.runs), default=0)
        made = as_table(listing, params[:kept], max(longest - excess, len("author")))
    return made, _left_out(params[kept:])


def _left_out(params: Sequence[str]) -> str:
    if not params:
        return ""
    named = ", ".join(params[:MOST_PARAMS])
    more = f" and {len(params) - MOST_PARAMS} more parameters" if len(params) > MOST_PARAMS else ""
    return f"{named}{more} differ too: --json has them."


def _rounded(value: Any) -> str | None:
    return None if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
