"""Explain: why a stage ran last, and why it would run now, with what changed first through the chain of stages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.lineage.history import WORKING_TREE, lock_at
from flows.lineage.lock import LOCK_FILE
from flows.lineage.printed import escaped
from flows.lineage.reading.causes import Cause, NotStated
from flows.lineage.reading.forecast import Forecast, Outcome, forecast
from flows.lineage.reading.list import not_seen
from flows.lineage.reading.past import FIRST_RUN, Past, past, read_past
from flows.repository import PIPELINE_FILE
from flows.selection import chosen_stages, pipeline
from tasks.core.errors import UnknownNameError
from tasks.core.settings import PARAMS_FILE, expected_names, load_yaml

AGAIN = "it was forced, or an output was missing or changed"


@dataclass(frozen=True)
class Explained:
    """One stage: what happened, and what would happen, which is not asked of a revision."""

    stage: str
    last: Past | None
    now: Forecast | None
    roots: list[tuple[str, Cause]]  # of now: what would let the stages before it run


@dataclass(frozen=True)
class Explanation:
    """The stages that were asked for, and sentences on what cannot be seen."""

    stages: list[Explained]
    not_seen: list[str]


def explain(root: Path, stages: Sequence[str] = (), revision: str | None = None) -> Explanation:
    """Explain these stages, or all: why they ran last and would run now; of a revision, why the run that it records was made.

    Raises:
        UnknownNameError: there is no such stage.
        GoodfitError: dvc.yaml, params.yaml or the revision's dvc.lock cannot be read, there is no Git, no repository or no revision.
    """
    if revision is not None:
        return _explain_revision(root, stages, revision)
    for file in filter(Path.exists, (root / name for name in (PIPELINE_FILE, LOCK_FILE, PARAMS_FILE))):
        load_yaml(file)  # DVC, which reads them next, would crash where lists lie too deep in each other
    graph = pipeline(root)
    chosen = chosen_stages(graph, stages)
    found = forecast(root, graph, chosen)
    wanted = [name for name in chosen if not stages or any(_is_of(name, stage) for stage in stages)]
    line = read_past(root)
    explained = [Explained(name, past(root, line, name), found[name], _roots(found, name)) for name in wanted]
    return Explanation(explained, not_seen(line.history))


def _explain_revision(root: Path, stages: Sequence[str], revision: str) -> Explanation:
    line = read_past(root, revision)
    recorded = list(lock_at(root, revision))
    for stage in stages:
        if not any(_is_of(name, stage) for name in recorded):
            raise UnknownNameError(f"unknown stage '{stage}' at {revision}; {expected_names(stage, recorded)}")
    wanted = [name for name in recorded if not stages or any(_is_of(name, stage) for stage in stages)]
    return Explanation([Explained(name, past(root, line, name), None, []) for name in wanted], not_seen(line.history))


def _is_of(name: str, stage: str) -> bool:
    """Whether a stage is the one that is asked for, or a member of that `foreach` or `matrix` stage."""
    return name == stage or name.startswith(f"{stage}@")


def _roots(found: Mapping[str, Forecast], name: str) -> list[tuple[str, Cause]]:
    """The causes of all stages before this one that would let it run."""
    reached: dict[str, None] = {}

    def reach(stage: str) -> None:
        writers = [cause.made_by for cause in found[stage].causes if cause.made_by]
        for before in [*found[stage].after, *writers]:
            if before in found and before not in reached:
                reached[before] = None
                reach(before)

    reach(name)
    return [(stage, cause) for stage in found if stage in reached for cause in found[stage].causes if not cause.made_by]


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The same for a program: a value that is not stated is missing."""
    return {
        "stages": [
            {
                "stage": one.stage,
                "last": _past_as_json(one.last) if one.last else None,
            }
            | ({"now": _now_as_json(one.now, one.roots)} if one.now else {})
            for one in explanation.stages
        ],
        "not_seen": explanation.not_seen,
    }


def _now_as_json(now: Forecast, roots: Sequence[tuple[str, Cause]]) -> dict[str, Any]:
    return {
        "outcome": now.outcome.name.lower(),
        "causes": [_cause(cause) for cause in now.causes],
        "after": now.after,
        "roots": [{"stage": stage} | _cause(cause) for stage, cause in roots],
    }


def _past_as_json(last: Past) -> dict[str, Any]:
    return vars(last) | {
        "causes": [_cause(cause) for cause in last.causes],
        "roots": [{"stage": stage} | _cause(cause) for stage, cause in last.roots],
    }


def _cause(cause: Cause) -> dict[str, Any]:
    found = {key: value for key, value in vars(cause).items() if not isinstance(value, NotStated)}
    return {key: value for key, value in found.items() if key in ("kind", "name", "before", "after") or value}


def as_lines(explanation: Explanation) -> Iterator[str]:
    """A paragraph for each stage."""
    for place, one in enumerate(explanation.stages):
        if place:
            yield ""
        yield escaped(one.stage)
        yield from (
            f"  {line}"
            for line in [*_last(one.last, bool(explanation.not_seen)), *(_now(one.now, one.roots) if one.now else ())]
        )


def _last(last: Past | None, partly: bool) -> Iterator[str]:
    """`partly`: whether there are commits that cannot be seen."""
    if last is None:
        yield "last: nothing is recorded"
        return
    if last.recorded_by == WORKING_TREE:
        yield "last: recorded by dvc.lock in the working tree, not committed"
    else:
        when = last.date[:16].replace("T", " ")
        yield f"last: recorded by {escaped(last.recorded_by)} ({when}, {escaped(last.author)})"
    if [cause.kind for cause in last.causes] == [FIRST_RUN]:
        yield f"  first run: no commit before it {'that can be seen ' if partly else ''}has an entry"
    else:
        yield from (f"  {cause}" for cause in last.causes)
        if not last.causes:
            yield f"  nothing that it depends on differs from {escaped(last.before)}: {AGAIN}"
        yield from (f"  because of {escaped(stage)}: {cause}" for stage, cause in last.roots)
        if last.same_outputs:
            yield f"  it wrote the same outputs as in {escaped(last.before)}"
    yield from _journal(last)


def _journal(last: Past) -> Iterator[str]:
    entry = last.journal
    if entry is None:
        return
    when, door = str(entry["started"])[:19].replace("T", " "), escaped(str(entry.get("door", "")))
    failed = f": {escaped(str(entry.get('error')))}" if entry["outcome"] == "failed" else ""
    yield f"  journal: {escaped(str(entry['outcome']))} {when} UTC through {door}{failed}"
    if last.again:
        yield f"  journal: it had run with the same inputs before: {AGAIN}"


def _now(now: Forecast, roots: Sequence[tuple[str, Cause]]) -> Iterator[str]:
    yield f"now: {now}"
    if now.outcome is not Outcome.FROZEN:
        yield from (f"  {cause}" for cause in now.causes)
    else:
        yield from (f"  {cause} (not looked at while it is frozen)" for cause in now.causes)
    if now.outcome is Outcome.CHANGED:
        yield f"  and on the outputs of {' and '.join(map(escaped, now.after))}"
    yield from (f"  because of {escaped(stage)}: {cause}" for stage, cause in roots)
