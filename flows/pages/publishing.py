"""A run's results on Prefect's pages: tags, a summary in Markdown, and tables of metrics and findings."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from flows.pages.metrics import Metric, Previous, metric_files, metrics, read_metrics
from flows.pages.progress import duration
from flows.pages.usage import Usage, memory
from flows.parameters.checking import own_stages
from tasks.contracts.findings import SUMMARY, Diagnosis, Remedy, read_diagnosis
from tasks.core.errors import GoodfitError

REPORT = Path("report/index.html")


@dataclass(frozen=True)
class Run:
    """What one run did: the outcome of each stage, what it used, and what is to be said of its parameters."""

    outcomes: Mapping[str, str]
    usage: Mapping[str, Usage]
    previous: Previous
    note: str | None = None  # on overrides

    @property
    def completed(self) -> list[str]:
        return [name for name, done in self.outcomes.items() if done in ("ran", "restored", "unchanged")]


@dataclass(frozen=True)
class Results:
    """What the completed stages say; the files of a stage that did not complete may be an earlier run's, and are left out."""

    metrics: list[Metric]
    examples: int | None
    diagnosis: Diagnosis | None
    report: Path | None

    def __str__(self) -> str:
        """`verdict: overconfident; accuracy 0.9629 (+0.0019)`, or nothing."""
        verdict = [f"verdict: {self.diagnosis.verdict.replace('_', ' ')}"] if self.diagnosis else []
        return "; ".join(verdict + [str(metric) for metric in self.metrics[:1]])


def results(root: Path, run: Run) -> Results:
    """Read the files of the completed stages."""
    found: list[Metric] = []
    examples: int | None = None
    writers = metric_files(root)
    for path, values in read_metrics(root).items():
        if writers[path] in run.completed and path != SUMMARY.as_posix():  # the findings have a table of their own
            found += metrics(values, run.previous.values.get(path, {}))
            examples = values.get("n", examples)
    ours = [name for name in own_stages(root) if name in run.completed]
    try:
        diagnosis = read_diagnosis(root) if "diagnose" in ours else None
    except GoodfitError:
        diagnosis = None
    return Results(found, examples, diagnosis, REPORT if "report" in ours else None)


def publish(root: Path, run: Run, found: Results) -> None:
    """Create the artifacts of the current flow run."""
    create_markdown_artifact(summary(root, run, found), key="summary", description="What this run did and found")
    if found.metrics:
        measured = f"on {found.examples} test examples, " if found.examples else ""
        description = f"Metrics {measured}compared with {run.previous.source}"
        create_table_artifact(metric_rows(found.metrics), key="metrics", description=description)
    if found.diagnosis:
        create_table_artifact(finding_rows(found.diagnosis), key="findings", description="The checks behind the verdict")


def add_tags(tags: Sequence[str]) -> None:
    """Give the current flow run these tags in addition to those that it began with."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    wanted = list(dict.fromkeys([*context.flow_run.tags, *tags]))
    with get_client(sync_client=True) as client:
        client.update_flow_run(context.flow_run.id, tags=wanted)


def choice_tags(params: Mapping[str, Any]) -> list[str]:
    """The chosen components in params.yaml, each as `model: mlp`."""
    tags = []
    for key, value in params.items():
        if isinstance(value, dict):
            tags += [f"{key}: {value['name']}"] if isinstance(value.get("name"), str) else choice_tags(value)
    return tags


def summary(root: Path, run: Run, found: Results) -> str:
    """The page: verdict, metrics against the run before, what helps, what each stage did, where the report is."""
    parts = []
    if found.diagnosis:
        parts += [f"# {found.diagnosis.verdict.replace('_', ' ').capitalize()}", found.diagnosis.headline]
    if found.metrics:
        parts.append(_table(metric_rows(found.metrics)))
        compared = (
            f" Compared with {run.previous.source}." if run.previous.values else " There is no earlier run to compare with."
        )
        parts.append((f"Measured on {found.examples} test examples." if found.examples else "") + compared)
    if found.diagnosis:
        parts.append("**Flags:** " + (", ".join(found.diagnosis.flags) or "none"))
        advice = [_advice(item.remedy) for item in found.diagnosis.findings if item.status == "flag" and item.remedy]
        if advice:
            parts.append("**What to do**\n\n" + "\n".join(f"- {remedy}" for remedy in advice))
    if found.report:
        # No link: browsers open no file:// address from a page that came over http, and the file may lie on another machine.
        parts.append(f"**Report:** `{found.report.as_posix()}` in `{root}` on {socket.gethostname()}")
    if run.note:
        parts.append(f"**Parameters:** {run.note}")
    parts.append("## Stages\n\n" + _table(stage_rows(run)))
    return "\n\n".join(parts)


def _advice(remedy: Remedy) -> str:
    """What to do, what it is expected to bring, and what that rests on."""
    gain = ""
    if remedy.expected_gain is not None:
        between = f" ({_interval(*remedy.ci)})" if remedy.ci else ""
        gain = f" Expected gain: {_rounded(remedy.expected_gain)} {remedy.unit}{between}."
    return f"{remedy.action}{gain} Basis: {remedy.grounds}"


def metric_rows(found: Sequence[Metric]) -> list[dict[str, str]]:
    """One row per metric."""
    return [
        {
            "metric": metric.name.replace("_", " "),
            "value": f"{metric.value:.4f}",
            "interval": _interval(metric.low, metric.high),
            "previous": _rounded(metric.before),
            "change": "" if metric.change is None else f"{metric.change:+.4f}",
        }
        for metric in found
    ]


def finding_rows(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """One row per check."""
    return [
        {
            "check": finding.code,
            "question": finding.title,
            "status": finding.status.replace("_", " "),
            "estimate": _rounded(finding.estimate),
            "interval": _interval(finding.ci_low, finding.ci_high),
            "unit": finding.unit,
        }
        for finding in diagnosis.findings
    ]


def stage_rows(run: Run) -> list[dict[str, str]]:
    """One row per stage: what was done, how long it took, how much memory it needed."""
    return [
        {
            "stage": name,
            "outcome": done,
            "runtime": duration(run.usage[name].seconds) if name in run.usage and done == "ran" else "",
            "peak memory": memory(run.usage[name].peak_memory_bytes) if name in run.usage and done == "ran" else "",
        }
        for name, done in run.outcomes.items()
    ]


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """In Markdown; a column that is empty in every row is left out."""
    columns = [key for key in rows[0] if any(row[key] for row in rows)]
    lines = [columns, ["---"] * len(columns), *([row[key] for key in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _interval(low: float | None, high: float | None) -> str:
    return " to ".join(filter(None, (_rounded(low), _rounded(high))))


def _rounded(number: float | None) -> str:
    return "" if number is None else f"{number:.4f}"
