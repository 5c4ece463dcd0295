"""From checks to findings, and from findings to one verdict, one headline and a table for the terminal."""

from collections.abc import Sequence
from typing import NamedTuple

from tasks.contracts.findings import ALSO, GOOD_FIT, INCONCLUSIVE, Diagnosis, Finding
from tasks.core.components import Choice
from tasks.diagnostics.catalogue import CHECKS, REQUIRED
from tasks.diagnostics.limits import Limits
from tasks.diagnostics.measured import Measured
from tasks.diagnostics.parts import MissingPartError

MARKS = {"nats": " nats", "fraction": " %"}


class Answer(NamedTuple):
    """A finding, with the verdict that a flag of its check means and that verdict's precedence; None for a descriptive check."""

    finding: Finding
    verdict: str | None
    precedence: int | None
    required: bool  # for a good fit

    @property
    def rank(self) -> tuple[bool, int]:
        """The flag with the lowest one is the verdict."""
        return self.finding.minor, self.precedence or 0

    @property
    def open(self) -> bool:
        """The check has no answer."""
        return self.verdict is not None and self.finding.status in ("inconclusive", "not_run")


def examine(checks: Sequence[Choice], measured: Measured, limits: Limits) -> Diagnosis:
    """Run the checks in this order and conclude."""
    answers = [
        Answer(
            _finding(check, measured, limits),
            check.module.VERDICT,
            check.module.PRECEDENCE,
            check.module.REQUIRED,
        )
        for check in checks
    ]
    verdict, headline, flags = conclude(answers)
    return Diagnosis(
        verdict=verdict,
        headline=headline,
        flags=flags,
        answered=_answered(answers),
        findings=[answer.finding.model_copy(update={"verdict": answer.verdict}) for answer in answers],
        confidence=limits.confidence,
    )


def _answered(answers: Sequence[Answer]) -> list[str]:
    """The verdicts that were reached or ruled out: a check of theirs raised its flag, or each of them had an answer."""
    own: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.verdict is not None:
            own.setdefault(answer.verdict, []).append(answer)
    return [
        verdict
        for verdict, asked in own.items()
        if any(answer.finding.status == "flag" for answer in asked) or not any(answer.open for answer in asked)
    ]


def _finding(check: Choice, measured: Measured, limits: Limits) -> Finding:
    """What the check found; `not_run` where it needs a part that was not given."""
    try:
        found: Finding = check.module.check(measured, limits, check.settings)
    except MissingPartError as error:
        found = check.module.QUESTION.not_run(f"Not given: {error}.", 0)
    return found


def conclude(answers: Sequence[Answer]) -> tuple[str, str, list[str]]:
    """Verdict, headline and all flags; the verdict is that of the flag with the lowest precedence, minor flags last.

    `good_fit` means that none flagged, and that each check which it needs was listed and could answer its question. What has to be
    known beside any verdict (`Finding.note`) is on further lines.
    """
    deciding = [answer for answer in answers if answer.verdict is not None]
    raised = sorted((answer for answer in deciding if answer.finding.status == "flag"), key=lambda answer: answer.rank)
    if raised:
        flags = list(dict.fromkeys(str(answer.verdict) for answer in raised))
        noted = notes([answer.finding for answer in answers if answer is not raised[0]])
        return flags[0], "\n".join([raised[0].finding.summary, *_also(flags[1:]), *noted]), flags
    findings = [answer.finding for answer in answers]
    unanswered = [answer.finding.summary for answer in deciding if answer.open and answer.required]
    unanswered += missing_checks(findings)
    if unanswered:
        return INCONCLUSIVE, "\n".join([" ".join(dict.fromkeys(unanswered)), *notes(findings)]), []
    return GOOD_FIT, "\n".join([*_praise(answers, deciding), *notes(findings)]), []


def missing_checks(findings: Sequence[Finding]) -> list[str]:
    """A sentence that names the checks which a good fit needs and which were not listed, where there are any."""
    names = _unlisted(REQUIRED, findings)
    return [f"Not listed, but needed for a good fit: {', '.join(names)}."] if names else []


def notes(findings: Sequence[Finding]) -> list[str]:
    """What the findings have to say beside any verdict."""
    return [finding.note for finding in findings if finding.note]


def _unlisted(names: Sequence[str], findings: Sequence[Finding]) -> list[str]:
    codes = {finding.code for finding in findings}
    return [name for name in names if name not in codes]


def _also(flags: Sequence[str]) -> list[str]:
    """The second line of the headline, where there are other flags."""
    return [f"{ALSO} {', '.join(flag.replace('_', ' ') for flag in flags)}."] if flags else []


def _praise(answers: Sequence[Answer], deciding: Sequence[Answer]) -> list[str]:
    """The accuracy, and what was looked for, as only that can be called good; then what was not, and how the checks could tell."""
    performance = [answer.finding.summary for answer in answers if answer.finding.code == "performance"]
    closed = [answer for answer in deciding if not answer.open]
    names = [answer.finding.code for answer in closed]
    looked = f"None of the checks {_listed(names)} raised a flag, and each had enough data to answer its question."
    told = {
        "Passed because the interval excludes any harm that matters, although not every such harm could have been detected": [
            answer.finding.code for answer in closed if answer.finding.by_exclusion
        ],
        "Too little data for an answer": [
            answer.finding.code for answer in deciding if answer.finding.status == "inconclusive"
        ],
        "Not run": [answer.finding.code for answer in deciding if answer.finding.status == "not_run"],
        "Not listed": _unlisted(CHECKS, [answer.finding for answer in answers]),
    }
    limits = [f"{what}: {', '.join(names)}." for what, names in told.items() if names]
    return [" ".join([*performance, looked]), " ".join([*limits, "Shortcuts that exist in every split are not looked for."])]


def _listed(names: Sequence[str]) -> str:
    """At least two names: a good fit needs more checks than one."""
    return f"{', '.join(names[:-1])} and {names[-1]}"


def as_text(diagnosis: Diagnosis) -> str:
    """The verdict and its headline, then for each finding its status, title and estimate, what it says, and what a remedy rests on."""
    verdict = diagnosis.verdict.replace("_", " ")
    return "\n".join([f"Verdict: {verdict}. {diagnosis.headline}", *(_lines(finding) for finding in diagnosis.findings)])


def _lines(finding: Finding) -> str:
    numbers = (finding.estimate, finding.ci_low, finding.ci_high)
    estimate, low, high = ("" if number is None else _spelled(number, finding.unit) for number in numbers)
    shown = f": {estimate}{MARKS[finding.unit]}" if estimate else ""
    between = f" ({low} to {high})" if low and high else ""
    status = finding.status.replace("_", " ")
    said = [finding.summary, *([f"Basis: {finding.remedy.grounds}"] if finding.remedy else [])]
    return "\n".join([f"  {status:<13}{finding.title}{shown}{between}", *(f"{'':<15}{line}" for line in said)])


def _spelled(number: float, unit: str) -> str:
    return f"{100 * number:.1f}" if unit == "fraction" else f"{number:.4f}"
