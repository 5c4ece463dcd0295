"""From checks to findings, and from findings to one verdict, one headline and a table for the terminal."""

from collections.abc import Sequence
from typing import NamedTuple

from tasks.contracts.findings import Diagnosis, Finding
from tasks.core.components import Choice
from tasks.diagnostics.measured import Limits, Measured

GOOD_FIT, INCONCLUSIVE = "good_fit", "inconclusive"
MARKS = {"nats": " nats", "fraction": " %"}


class Answer(NamedTuple):
    """A finding, with the verdict that a flag of its check means and that verdict's precedence; None for a descriptive check."""

    finding: Finding
    verdict: str | None
    precedence: int | None


def examine(checks: Sequence[Choice], measured: Measured, limits: Limits) -> Diagnosis:
    """Run the checks in this order and conclude."""
    modules = [(check.module, check.settings) for check in checks]
    answers = [
        Answer(module.check(measured, limits, settings), module.VERDICT, module.PRECEDENCE) for module, settings in modules
    ]
    verdict, headline, flags = conclude(answers)
    findings = [answer.finding for answer in answers]
    return Diagnosis(verdict=verdict, headline=headline, flags=flags, findings=findings, confidence=limits.confidence)


def conclude(answers: Sequence[Answer]) -> tuple[str, str, list[str]]:
    """Verdict, headline and all flags; the verdict is that of the flag with the lowest precedence.

    `good_fit` means that checks which can raise a flag were run, that each of them could answer its question, and that none flagged.
    """
    deciding = [answer for answer in answers if answer.verdict is not None]
    raised = sorted(
        (answer for answer in deciding if answer.finding.status == "flag"), key=lambda answer: answer.precedence or 0
    )
    if raised:
        flags = list(dict.fromkeys(str(answer.verdict) for answer in raised))
        return flags[0], raised[0].finding.summary, flags
    if not deciding:
        return INCONCLUSIVE, "No check that can raise a flag was run. Add one to diagnose.checks.", []
    unanswered = [answer.finding.summary for answer in deciding if answer.finding.status in ("inconclusive", "not_run")]
    if unanswered:
        return INCONCLUSIVE, " ".join(dict.fromkeys(unanswered)), []
    return GOOD_FIT, _praise(answers), []


def _praise(answers: Sequence[Answer]) -> str:
    """The accuracy, and which checks could have raised a flag: only what was looked for can be called good."""
    performance = [answer.finding.summary for answer in answers if answer.finding.code == "performance"]
    names = [answer.finding.code for answer in answers if answer.verdict is not None]
    checks = f"checks {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else f"check {names[0]}"
    none = "None of the" if len(names) > 1 else "The"
    raised = "raised a flag, and each" if len(names) > 1 else "raised no flag, and it"
    return " ".join([*performance, f"{none} {checks} {raised} had enough data to answer its question."])


def as_text(diagnosis: Diagnosis) -> str:
    """The verdict and its headline, then two lines for each finding: status, title and estimate, and what it says."""
    verdict = diagnosis.verdict.replace("_", " ")
    return "\n".join([f"Verdict: {verdict}. {diagnosis.headline}", *(_lines(finding) for finding in diagnosis.findings)])


def _lines(finding: Finding) -> str:
    numbers = (finding.estimate, finding.ci_low, finding.ci_high)
    estimate, low, high = ("" if number is None else _spelled(number, finding.unit) for number in numbers)
    shown = f": {estimate}{MARKS[finding.unit]}" if estimate else ""
    between = f" ({low} to {high})" if low and high else ""
    status = finding.status.replace("_", " ")
    return f"  {status:<13}{finding.title}{shown}{between}\n{'':<15}{finding.summary}"


def _spelled(number: float, unit: str) -> str:
    return f"{100 * number:.1f}" if unit == "fraction" else f"{number:.4f}"
