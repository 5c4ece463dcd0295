"""Impact: every recorded result that depends on a file or on a row of the source, through the chain of stages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.lineage.history import Snapshot
from flows.lineage.lock import Locked
from flows.lineage.objects import Objects
from flows.lineage.printed import cell, table
from flows.lineage.reading.chain import Writers, overlap
from flows.lineage.reading.find import Search, Wanted, lacking, recorded
from flows.lineage.reading.list import METRICS, Run, runs_of
from flows.lineage.reading.rows import FILES, PREPROCESS, row_numbers
from tasks.core.errors import GoodfitError
from tasks.sources.source import RAW

SHORT = 8  # hex digits of a digest on the screen
FIRST = ("accuracy", "log_loss")
# Whether an entry of a stage reads or writes what is asked about.
Touches = Callable[[str, Locked], bool]


@dataclass(frozen=True)
class Result:
    """A recorded run, with those of its stages whose results depend on what was asked about, in the order of the pipeline."""

    run: Run
    stages: list[str]
    metrics: dict[str, Any]  # those that these stages wrote

    @property
    def model(self) -> str | None:
        """The MD5 of the weights, where they are among what depends on it."""
        return self.run.model if "train" in self.stages else None


@dataclass(frozen=True)
class Impact:
    """The results that depend on it, the newest first."""

    results: list[Result]
    searched: int  # distinct dvc.lock
    other_bytes: int  # of them, those that have other bytes at the path
    not_seen: list[str]


def impact(root: Path, wanted: Wanted, path: str | None = None) -> Impact:
    """What depends on a file of these bytes.

    Args:
        root: the repository.
        wanted: its digests.
        path: where it lies in the repository; tells runs that had other bytes there.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    snapshots, sentences = recorded(root)
    search = Search(Objects(root), wanted)

    def touches(stage: str, entry: Locked) -> bool:
        return bool(search.uses(stage, entry))

    found = _results(root, snapshots, touches)
    affected = {result.run.revision for result in found}
    other = sum(path in _paths(snapshot) for snapshot in snapshots if snapshot.name not in affected) if path else 0
    return Impact(found, len(snapshots), other, [*sentences, *lacking(search)])


def impact_of_row(root: Path, row: int, source: Wanted | None = None) -> Impact:
    """What depends on a row of the source: each split that has it, and what was made from that.

    Args:
        root: the repository.
        row: its number in the source's own order.
        source: the bytes of data/raw or of a file in it; None for those that the newest dvc.lock records.

    Raises:
        GoodfitError: there is no Git, no Git repository, or no record of data.
    """
    snapshots, sentences = recorded(root)
    if source is None:
        raw = [md5 for snapshot in snapshots for md5 in _raw(snapshot)]
        if not raw:
            raise GoodfitError(f"no dvc.lock records {RAW.as_posix()}, so that there are no rows: `dvc repro` or `goodfit run`")
        source = Wanted(raw[-1])
    objects = Objects(root)
    search, lost = Search(objects, source), set[str]()
    inside: dict[str, bool] = {}

    def has(md5: str, path: str) -> bool:
        if md5 not in inside:
            file = objects.file(md5, path)
            if file is None:
                lost.add(md5)
            inside[md5] = file is not None and bool((row_numbers(file) == row).any())
        return inside[md5]

    same = [snapshot for snapshot in snapshots if _has_source(snapshot, search)]
    wrote = {file for snapshot in same for file in snapshot.stages[PREPROCESS].outs.items()}

    def touches(stage: str, entry: Locked) -> bool:
        # A stage that did not run again may have read the splits of another source, which have rows of the same numbers.
        files = [(path, entry.outs.get(path) or entry.deps[path]) for path in _splits(entry)]
        return any((path, md5) in wrote and has(md5, path) for path, md5 in files)

    # Which split a row is in is asked of every reader itself: a row of test is no input of the training.
    found = _results(root, same, touches, ends=PREPROCESS)
    unread = [f"{len(lost)} splits are not in DVC's cache: `dvc fetch --all-commits`."] if lost else []
    return Impact(found, len(snapshots), len(snapshots) - len(same), [*sentences, *lacking(search), *unread])


def _splits(entry: Locked) -> Iterator[str]:
    return (path for path in FILES.values() if path in entry.outs or path in entry.deps)


def _raw(snapshot: Snapshot) -> Iterator[str]:
    return (stage.outs[RAW.as_posix()] for stage in snapshot.stages.values() if RAW.as_posix() in stage.outs)


def _has_source(snapshot: Snapshot, search: Search) -> bool:
    entry = snapshot.stages.get(PREPROCESS)
    return entry is not None and bool(search.uses(PREPROCESS, entry))


def _paths(snapshot: Snapshot) -> set[str]:
    return {path for entry in snapshot.stages.values() for path in (*entry.deps, *entry.outs)}


def _results(root: Path, snapshots: Sequence[Snapshot], touches: Touches, ends: str | None = None) -> list[Result]:
    affected = _affected(snapshots, touches, ends)
    hit = [snapshot for snapshot in snapshots if affected[snapshot.name]]
    found = []
    for snapshot, run in zip(hit, runs_of(root, hit), strict=True):
        stages = [name for name in snapshot.stages if name in affected[snapshot.name]]
        wrote = {Path(path).stem for name in stages for path in snapshot.stages[name].outs if path.startswith(METRICS)}
        metrics = {key: value for key, value in run.metrics.items() if key.partition(".")[0] in wrote}
        found.append(Result(run, _in_order(snapshot.stages, stages), metrics))
    return found[::-1]


def _affected(snapshots: Sequence[Snapshot], touches: Touches, ends: str | None) -> dict[str, set[str]]:
    """The stages of each snapshot, by its name, whose results depend on what `touches` says; through the stage `ends` none does.

    An input is what the stage beside it wrote where both have the same MD5. Where an earlier stage was recorded without the later ones
    running again, the input is that of another snapshot.
    """
    found: dict[str, set[str]] = {snapshot.name: set() for snapshot in snapshots}
    outputs: set[tuple[str, str]] = set()
    writers, before = Writers(), -1
    while before != (before := sum(map(len, found.values()))):
        for snapshot in snapshots:
            mine, grown, layout = found[snapshot.name], True, writers.of(snapshot.stages)
            while grown:
                grown = False
                for stage, entry in snapshot.stages.items():
                    if stage in mine or not (
                        touches(stage, entry) or _fed(snapshot.stages, entry, mine - {ends}, outputs, layout)
                    ):
                        continue
                    mine.add(stage)
                    outputs |= set(entry.outs.items()) if stage != ends else set()
                    grown = True
    return found


def _fed(
    stages: Mapping[str, Locked],
    entry: Locked,
    mine: set[str],
    outputs: set[tuple[str, str]],
    writers: Callable[[str], list[str]],
) -> bool:
    """Whether one of the entry's inputs was made by an affected stage."""
    for path, md5 in entry.deps.items():
        current = [name for name in writers(path) if stages[name].outs.get(path, md5) == md5]
        if any(name in mine for name in current) or (not current and (path, md5) in outputs):
            return True
    return False


def _in_order(stages: Mapping[str, Locked], names: Sequence[str]) -> list[str]:
    """Each stage after those whose outputs it reads; dvc.lock has them in the order in which they first ran."""
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        if name in ordered:
            return
        for other in names:
            reads = other != name and any(overlap(path, out) for path in stages[name].deps for out in stages[other].outs)
            if reads and other not in ordered:
                add(other)
        ordered[name] = None

    for name in names:
        add(name)
    return list(ordered)


def as_json(found: Impact) -> dict[str, Any]:
    return {
        "results": [
            {
                "revision": result.run.revision,
                "commit": result.run.commit,
                "date": result.run.date,
                "stages": result.stages,
                "verdict": result.run.verdict if "diagnose" in result.stages else None,
                "metrics": result.metrics,
                "model": result.model,
            }
            for result in found.results
        ],
        "searched": found.searched,
        "other_bytes": found.other_bytes,
        "not_seen": found.not_seen,
    }


def as_table(found: Impact) -> Any:
    """The results for a terminal (a rich.table.Table)."""
    keys = dict.fromkeys(key for result in found.results for key in result.metrics)
    shown = [key for key in keys if key.partition(".")[2] in FIRST]
    names = [key.partition(".")[2] for key in shown]
    made = table("revision", "date", *names, "model", "stages", right=tuple(names))
    for result in found.results:
        values = (result.metrics.get(key) for key in shown)
        made.add_row(
            cell(result.run.revision),
            cell(result.run.date[:16].replace("T", " ")),
            *("" if value is None else f"{value:.4f}" for value in values),
            cell(result.model[:SHORT] if result.model else None),
            cell(", ".join(result.stages)),
        )
    return made
