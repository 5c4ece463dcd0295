"""What differs between two recorded runs, and by how much each metric moved, with the interval of the difference."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lineage.history import WORKING_TREE, lock_at
from flows.lineage.lock import Locked, read_record
from flows.lineage.objects import Objects
from flows.lineage.printed import escaped
from flows.lineage.reading.family import EVALUATE, TEST
from flows.lineage.statement import flat, shown, statement_path
from tasks.contracts.results import PREDICTIONS
from tasks.contracts.statement import FOLDER as STATEMENTS
from tasks.core.errors import GoodfitError
from tasks.diagnostics.words import level

if TYPE_CHECKING:
    import pandas as pd


COLUMNS = ("row", "label", "predicted", "loss")


@dataclass(frozen=True)
class Change:
    """A parameter or a file, before and after; None where it was not there."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Surroundings:
    """What the statement of one stage says of the machine, such as Python and the device, and of the versions of packages."""

    settings: dict[str, Any]
    packages: dict[str, str]


@dataclass(frozen=True)
class Moved:
    """A metric before and after, and the interval of the difference."""

    name: str
    before: float
    after: float
    low: float
    high: float
    paired: bool  # on the same test images, image by image
    n: int  # test images after


@dataclass(frozen=True)
class Diff:
    """All differences; `unmeasured` says why there are no metrics, where there are none."""

    before: str
    after: str
    params: list[Change]
    code: list[Change]  # files, with their MD5
    data: list[Change]
    environment: list[Change]  # packages, Python, device and so on, as the statements in DVC's cache have them
    outputs: list[str]  # stages whose outputs differ, beside their statements
    metrics: list[Moved]
    confidence: float  # of their intervals
    unmeasured: str = ""


def diff(root: Path, before: str = "HEAD", after: str | None = None, confidence: float = 0.95) -> Diff:
    """Compare two revisions (commits, branches, tags, experiments); without `after`, one with what dvc.lock records here.

    Raises:
        GoodfitError: there is no such revision, or it records nothing.
    """
    first, second = lock_at(root, before), lock_at(root, after) if after is not None else read_record(root)
    made = {path for lock in (first, second) for stage in lock.values() for path in stage.outs}
    files = list(_changes(_deps(first, made), _deps(second, made)))
    metrics, unmeasured = _metrics(root, (before, first), (after or WORKING_TREE, second), confidence)
    return Diff(
        before=before,
        after=after or WORKING_TREE,
        params=list(_changes(_params(first), _params(second))),
        code=[change for change in files if _is_code(change.name)],
        data=[change for change in files if not _is_code(change.name)],
        environment=_between(_environments(root, first), _environments(root, second)),
        outputs=[name for name in {**first, **second} if _outs(first.get(name)) != _outs(second.get(name))],
        metrics=metrics,
        confidence=confidence,
        unmeasured=unmeasured,
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Change(name, before.get(name), after.get(name))


def _between(before: Mapping[str, Surroundings], after: Mapping[str, Surroundings]) -> list[Change]:
    """What differs in the environment of the stages that both describe; with the stages' names where only some of them differ.

    A setting that one of the two lacks is a difference, such as the kind of GPU of a training that moved to the CPU. A package that one
    of them lacks is not: a stage names those that it loaded.
    """
    found: dict[tuple[str, str, str], tuple[Change, list[str]]] = {}
    named: dict[str, set[str]] = {}
    for stage in [name for name in before if name in after]:
        then, now = before[stage], after[stage]
        changes = _changes(then.settings, now.settings)
        versions = [change for change in _changes(then.packages, now.packages) if None not in (change.before, change.after)]
        for name in (*then.settings, *now.settings, *then.packages, *now.packages):
            named.setdefault(name, set()).add(stage)
        for change in (*changes, *versions):
            key = change.name, repr(change.before), repr(change.after)
            found.setdefault(key, (change, []))[1].append(stage)
    return [
        change if set(stages) == named[change.name] else replace(change, name=f"{change.name} ({', '.join(stages)})")
        for _, (change, stages) in sorted(found.items())
    ]


def _deps(lock: Mapping[str, Locked], made: set[str]) -> dict[str, str]:
    """What comes from outside of the pipeline, with its MD5."""
    return {path: md5 for stage in lock.values() for path, md5 in stage.deps.items() if path not in made}


def _is_code(path: str) -> bool:
    return path.startswith(("tasks/", "flows/")) or path.endswith(".py")


def _params(lock: Mapping[str, Locked]) -> dict[str, Any]:
    return {key: value for stage in lock.values() for key, value in flat(stage.params).items()}


def _environments(root: Path, lock: Mapping[str, Locked]) -> dict[str, Surroundings]:
    """What the statement of each stage says of machine and packages; without the stages whose statement is not in DVC's cache."""
    objects, found = Objects(root), {}
    for name, entry in lock.items():
        statement = objects.statement(entry.outs.get(statement_path(name).as_posix()))
        if statement is not None:
            packages = {package: uri.rpartition("@")[2] for package, uri in statement.packages.items()}
            found[name] = Surroundings(flat(statement.environment), packages)
    return found


def _outs(stage: Locked | None) -> dict[str, str]:
    """Without the statement, which also differs with every edit of a comment."""
    return {path: md5 for path, md5 in stage.outs.items() if Path(path).parent != STATEMENTS} if stage else {}


def _metrics(
    root: Path, first: tuple[str, Mapping[str, Locked]], second: tuple[str, Mapping[str, Locked]], confidence: float
) -> tuple[list[Moved], str]:
    """Accuracy and log-loss of both, from the predictions in DVC's cache; or why there are none."""
    entries = []
    for name, lock in (first, second):
        if EVALUATE not in lock or PREDICTIONS.as_posix() not in lock[EVALUATE].outs:
            return [], f"{name} records no predictions of a stage {EVALUATE}"
        entries.append(lock[EVALUATE])
    tables = []
    for (name, _), entry in zip((first, second), entries, strict=True):
        table = _predictions(root, entry.outs[PREDICTIONS.as_posix()])
        if table is None:
            return [], f"the predictions of {name} are not in DVC's cache: `dvc fetch --all-commits` brings them from a remote"
        tables.append(table)
    same = TEST in entries[0].deps and entries[0].deps[TEST] == entries[1].deps.get(TEST)
    return list(moved(*tables, paired=same, confidence=confidence)), ""


def _predictions(root: Path, md5: str) -> "pd.DataFrame | None":
    import pandas as pd

    file = Objects(root).file(md5, PREDICTIONS.as_posix())
    try:
        return pd.read_parquet(file, columns=list(COLUMNS)) if file else None
    except (ValueError, OSError) as error:  # a file of another kind, or with other columns
        raise GoodfitError(f"{file} holds no predictions as the stage {EVALUATE} writes them: {error}") from None


def moved(before: "pd.DataFrame", after: "pd.DataFrame", *, paired: bool, confidence: float) -> Iterator[Moved]:
    """Accuracy and log-loss with the interval of after minus before.

    On the same images: the score interval of the paired difference in errors (Tango 1998), and Student's of the paired differences in
    loss, corrected for skewness (Hall 1992). On others: Newcombe's interval (1998, method 10), and Welch's.
    """
    import numpy as np

    from tasks.statistics.comparisons import mean_difference, paired_interval
    from tasks.statistics.intervals import newcombe

    if paired:
        before, after = before.sort_values("row"), after.sort_values("row")
    right = [(table["predicted"] == table["label"]).to_numpy() for table in (before, after)]
    loss = [table["loss"].to_numpy(dtype=np.float64) for table in (before, after)]
    if paired:
        accuracy = paired_interval(~right[0], ~right[1], confidence)
        lost = mean_difference(loss[1] - loss[0], confidence)
        between = lost.low, lost.high
    else:
        counts = [(int(one.sum()), len(one)) for one in right]
        accuracy = newcombe(*counts[0], *counts[1], confidence)
        between = _welch(loss[0], loss[1], confidence)
    n = len(after)
    yield Moved("accuracy", float(right[0].mean()), float(right[1].mean()), *accuracy, paired, n)
    yield Moved("log_loss", float(loss[0].mean()), float(loss[1].mean()), *between, paired, n)


def _welch(before: Any, after: Any, confidence: float) -> tuple[float, float]:
    """The interval of the difference of two means of independent values (Welch 1947)."""
    import numpy as np

    from tasks.statistics.intervals import quantile

    parts = [values.var(ddof=1) / len(values) for values in (before, after)]
    change, error = float(after.mean() - before.mean()), float(np.sqrt(sum(parts)))
    if error == 0:
        return change, change
    degrees = error**4 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (before, after), strict=True))
    width = quantile((1 + confidence) / 2, degrees) * error
    return change - width, change + width


def as_frame(found: Diff) -> "pd.DataFrame":
    """The changes as a table, one row for each.

    Columns: kind (metric, parameter, data, code, environment), name, before, after (of files the MD5; missing where it is not there),
    and of a metric low and high, the interval of after minus before, and n, the number of test images.
    """
    import pandas as pd

    groups = {"parameter": found.params, "data": found.data, "code": found.code, "environment": found.environment}
    rows: list[dict[str, Any]] = [{"kind": "metric", **vars(metric)} for metric in found.metrics]
    rows += [{"kind": kind, **vars(change)} for kind, changes in groups.items() for change in changes]
    return pd.DataFrame(rows, columns=["kind", "name", "before", "after", "low", "high", "n"])


def as_text(found: Diff) -> str:
    """The metrics, and then what else differs, one line each."""
    lines = [f"{escaped(found.before)} → {escaped(found.after)}", ""]
    if found.unmeasured:
        lines.append(f"The metrics cannot be compared: {found.unmeasured}.")
    lines += [_spoken(metric, found.confidence) for metric in found.metrics]
    groups = {"parameters": found.params, "data": found.data, "code": found.code, "environment": found.environment}
    for title, changes in groups.items():
        lines += ["", f"{title}: {'no difference' if not changes else len(changes)}"]
        lines += [
            f"  {escaped(change.name)}: {_side(change.before, title)} → {_side(change.after, title)}" for change in changes
        ]
    return "\n".join([*lines, "", f"outputs that differ: {', '.join(map(escaped, found.outputs)) or 'none'}"])


def _spoken(metric: Moved, confidence: float) -> str:
    factor, unit = (100, " percentage points") if metric.name == "accuracy" else (1, " nats")
    digits = 2 if metric.name == "accuracy" else 4
    numbers = (metric.after - metric.before, metric.low, metric.high)
    change, low, high = (f"{factor * value:+.{digits}f}" for value in numbers)
    on = f"paired on {metric.n} test images" if metric.paired else "on different test images"
    between = f"{level(confidence)} CI {low} to {high}"
    return f"{metric.name}  {metric.before:.4f} → {metric.after:.4f}: {change}{unit} ({between}), {on}"


def _side(value: Any, title: str) -> str:
    if value is None:
        return "not there"
    return escaped(str(value)[:12] if title in ("data", "code") else shown(value))
