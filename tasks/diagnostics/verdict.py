"""From findings to one word, one sentence and a table for the terminal."""

from collections.abc import Sequence
from typing import get_args

from tasks.contracts.findings import Diagnosis, Finding, Verdict
from tasks.diagnostics import REGISTRY


def conclude(findings: Sequence[Finding]) -> Diagnosis:
    """The first verdict of the contract's order that applies.

    `good_fit` means that every check that could have raised a flag was run, had the power to, and did not.
    """
    raised = {REGISTRY[finding.code].verdict: finding for finding in findings if finding.status == "flag"}
    flags = [verdict for verdict in get_args(Verdict) if verdict in raised]
    if flags:
        return Diagnosis(verdict=flags[0], headline=summary(raised[flags[0]]), flags=flags, findings=list(findings))
    unanswered = [
        finding for finding in findings if finding.status in ("inconclusive", "not_run") and REGISTRY[finding.code].verdict
    ]
    if unanswered:
        reasons = "; ".join(dict.fromkeys(summary(finding).rstrip(".") for finding in unanswered))
        headline = f"{reasons[:1].upper()}{reasons[1:]}."
        return Diagnosis(verdict="inconclusive", headline=headline, flags=[], findings=list(findings))
    return Diagnosis(verdict="good_fit", headline=_praise(findings), flags=[], findings=list(findings))


def summary(finding: Finding) -> str:
    """The finding in one sentence."""
    return str(finding.evidence["summary"])


def _praise(findings: Sequence[Finding]) -> str:
    known = next(finding for finding in findings if finding.code == "performance")
    return (
        f"Accuracy {known.estimate:.3f} ({known.ci_low:.3f} to {known.ci_high:.3f}) on {known.n} test rows, "
        "and no check raised a flag although each could have seen a harm that matters."
    )


def as_text(diagnosis: Diagnosis) -> str:
    """Verdict and headline, then a line a finding: status, code, estimate with interval, what it says."""
    return "\n".join([f"{diagnosis.verdict}: {diagnosis.headline}", *(_line(finding) for finding in diagnosis.findings)])


def _line(finding: Finding) -> str:
    estimate = "–" if finding.estimate is None else f"{finding.estimate:.4f}"
    interval = "" if finding.ci_low is None or finding.ci_high is None else f" ({finding.ci_low:.4f} to {finding.ci_high:.4f})"
    return f"  {finding.status:<12} {finding.code:<13} {estimate + interval:<28} {summary(finding)}"
