"""The findings as the report shows them: what needs action comes first, and each interval is drawn against its reference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.charts import formats
from tasks.charts.attack import RATES, attack_chart
from tasks.charts.evidence import facts, tables
from tasks.charts.formats import Estimate
from tasks.contracts.findings import ALSO, Diagnosis, Finding, Unit

# Each status is drawn as a shape and a word, so that colour is never the only sign.
SHAPES = {"pass": "✓", "flag": "▲", "inconclusive": "◐", "not_run": "○", "info": "i"}
NAMES = {"pass": "Pass", "flag": "Flag", "inconclusive": "Inconclusive", "not_run": "Not run", "info": "Info"}
GROUPS = (
    ("Flagged", ("flag",)),
    ("Too little data for an answer", ("inconclusive",)),
    ("Not run", ("not_run",)),
    ("Passed, or only described", ("pass", "info")),
)
MARGIN = 0.04  # of the width, free at both ends, so that no mark lies on the edge


@dataclass(frozen=True)
class Bar:
    """Where the interval, the estimate, zero and the reference lie on an axis from 0 to 1."""

    low: float
    high: float
    at: float
    zero: float
    reference: float | None


def bar(finding: Finding) -> Bar | None:
    """The interval of a finding on an axis that always contains zero; None where there is no interval to draw."""
    numbers = (finding.ci_low, finding.ci_high, finding.estimate, 0.0, finding.reference)
    known = [number for number in numbers if number is not None]
    if finding.ci_low is None or finding.ci_high is None or finding.estimate is None or not all(map(math.isfinite, known)):
        return None
    first, last = min(known), max(known)
    if first == last:
        return None

    def place(number: float) -> float:
        return round(MARGIN + (1 - 2 * MARGIN) * (number - first) / (last - first), 4)

    reference = None if finding.reference is None else place(finding.reference)
    return Bar(place(finding.ci_low), place(finding.ci_high), place(finding.estimate), place(0.0), reference)


def groups(diagnosis: Diagnosis, classes: Sequence[str]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The findings by what they ask of the reader; the flags in their order of precedence, empty groups left out."""
    places = {verdict: place for place, verdict in enumerate(diagnosis.flags)}
    ordered = sorted(
        diagnosis.findings,
        key=lambda finding: places.get(finding.verdict or "", len(places)) if finding.status == "flag" else 0,
    )
    found = [
        (name, [_card(finding, classes) for finding in ordered if finding.status in statuses]) for name, statuses in GROUPS
    ]
    return [(name, cards) for name, cards in found if cards]


def top(diagnosis: Diagnosis) -> dict[str, Any]:
    """What stands above everything: the sentence of the verdict, what to do next, what else was flagged, and what limits the verdict.

    A line of the headline names the other flags; here they are links to their findings instead.
    """
    raised = {flag: _raised(diagnosis, flag) for flag in diagnosis.flags}
    leading = raised.get(diagnosis.verdict)
    first, *others = diagnosis.headline.split("\n")
    return {
        "headline": _sentence(first, leading),
        "limits": [formats.typeset(line) for line in others if not line.startswith(ALSO)],
        "also": [(flag, finding.code if finding else "") for flag, finding in raised.items() if flag != diagnosis.verdict],
        "next": {"remedy": leading.remedy, "gain": _gain(leading)} if leading and leading.remedy else None,
    }


def _raised(diagnosis: Diagnosis, flag: str) -> Finding | None:
    """The finding that raised a flag; of several, one that is not minor."""
    raising = [finding for finding in diagnosis.findings if finding.status == "flag" and finding.verdict == flag]
    return min(raising, key=lambda finding: finding.minor, default=None)


def _card(finding: Finding, classes: Sequence[str]) -> dict[str, Any]:
    evidence = {key: item for key, item in finding.evidence.items() if key not in RATES}  # they are drawn
    return {
        "finding": finding,
        **_with_unit((finding.estimate, finding.ci_low, finding.ci_high), finding.unit),
        "bar": bar(finding),
        "reference": _with_unit((finding.reference, None, None), finding.unit)["value"],
        "detectable": _with_unit((finding.mde, None, None), finding.unit, difference=True)["value"],
        "gain": _gain(finding),
        "summary": _sentence(finding.summary, finding),
        "facts": facts(evidence),
        "tables": tables(evidence, classes),
        "chart": attack_chart(finding),
    }


def _sentence(text: str, finding: Finding | None) -> str:
    """A summary without its last part, “Fix: …”, where the remedy of the finding is shown beside it."""
    return formats.typeset(formats.without_fix(text) if finding and finding.remedy else text)


def _gain(finding: Finding) -> str:
    """The expected gain of the remedy with its interval; empty where none is promised."""
    remedy = finding.remedy
    if remedy is None or remedy.expected_gain is None:
        return ""
    gain = _with_unit((remedy.expected_gain, *(remedy.ci or (None, None))), remedy.unit or finding.unit, difference=True)
    return f"{gain['value']} ({gain['interval']})" if gain["interval"] else gain["value"]


def _with_unit(
    numbers: tuple[float | None, float | None, float | None], unit: Unit, *, difference: bool = False
) -> dict[str, str]:
    """A number and its interval with their unit: fractions in percent, differences of fractions in percentage points."""
    value, low, high = numbers
    if value is None:
        return {"value": "–", "interval": ""}
    if unit == "fraction":
        percent = Estimate(100 * value, None if low is None else 100 * low, None if high is None else 100 * high)
        spelled, mark = formats.spelled(percent, 1, formats.fixed), "points" if difference else "%"
    else:
        decimals = formats.decimals_of(value, low, high)
        spelled, mark = formats.spelled(Estimate(value, low, high), decimals, formats.fixed), "nats"
    return {**spelled, "value": f"{spelled['value']}{formats.THIN}{mark}"}
