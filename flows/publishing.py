"""The results on Prefect's pages: the verdict as Markdown, metrics and findings as tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.contracts.findings import Diagnosis, read_diagnosis
from tasks.contracts.results import EVALUATION
from tasks.core.files import read_json


def publish(root: Path, completed: Sequence[str]) -> None:
    """Show the results on Prefect's page; those of a stage that did not complete may be an earlier run's, and are left out."""
    evaluation = read_json(root / EVALUATION, "evaluate") if "evaluate" in completed else None
    if evaluation:
        rows = [{"metric": key, "value": value} for key, value in evaluation.items()]
        create_table_artifact(rows, key="metrics", description="On the test set (metrics/evaluation.json)")
    if "diagnose" in completed:
        diagnosis = read_diagnosis(root)
        create_markdown_artifact(
            verdict_page(diagnosis, evaluation), key="verdict", description="What the diagnosis says of the model"
        )
        create_table_artifact(finding_rows(diagnosis), key="findings", description="The checks behind the verdict")


def verdict_page(diagnosis: Diagnosis, evaluation: dict[str, float] | None) -> str:
    """The verdict in Markdown, with the accuracy and its interval where they are known."""
    lines = [f"# {diagnosis.verdict.replace('_', ' ')}", diagnosis.headline]
    if evaluation:
        low, high = evaluation["accuracy_ci_low"], evaluation["accuracy_ci_high"]
        lines.append(f"**Accuracy** {evaluation['accuracy']:.4f} [{low:.4f}, {high:.4f}] on {evaluation['n']} test examples")
    lines.append("**Flags** " + (", ".join(diagnosis.flags) or "none"))
    remedies = [finding.remedy.action for finding in diagnosis.findings if finding.status == "flag" and finding.remedy]
    if remedies:
        lines.append("**What helps**\n\n" + "\n".join(f"- {action}" for action in remedies))
    return "\n\n".join(lines)


def finding_rows(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """A row a check."""
    return [
        {
            "check": finding.code,
            "question": finding.title,
            "status": finding.status.replace("_", " "),
            "estimate": _rounded(finding.estimate),
            "interval": " to ".join(filter(None, (_rounded(finding.ci_low), _rounded(finding.ci_high)))),
        }
        for finding in diagnosis.findings
    ]


def _rounded(number: float | None) -> str:
    return "" if number is None else f"{number:.4f}"
