"""The findings as cards: their order, their bars, and what stands above them."""

import pytest

from tasks.charts.findings import bar, groups, top
from tasks.contracts.findings import Diagnosis, Finding, Remedy
from tests.tasks.test_report import DIGITS, finding

KEEP = Remedy(action="Keep copies together.", expected_gain=None, ci=None, unit=None, source="Hashes.")
STOP = Remedy(action="Stop early.", expected_gain=0.04, ci=(0.02, 0.06), unit="nats", source="Cross-fitting.")


def diagnosed(*findings: Finding, flags: list[str], headline: str) -> Diagnosis:
    verdict = flags[0] if flags else "good_fit"
    return Diagnosis(verdict=verdict, headline=headline, flags=flags, answered=[], findings=list(findings), confidence=0.95)


FLAGGED = diagnosed(
    finding("performance", "Performance", "pass", verdict="underfit"),
    finding("integrity", "Exact", "flag", verdict="leakage", minor=True, remedy=KEEP, summary="2 leaked. Fix: keep them."),
    finding("slices", "Slices", "inconclusive", verdict="weak_slice"),
    finding("overtrained", "Overtrained", "flag", verdict="overtrained", remedy=STOP),
    finding("selection", "Selection", "not_run", verdict="selection_overfit"),
    finding("gap", "Gap", "info"),
    flags=["overtrained", "leakage"],
    headline="Loss is 0.1 nats higher. Fix: stop early.\nAlso flagged: leakage.\nThe recall of class 2 is unknown.",
)


def test_flags_come_first_in_their_order_and_passes_last() -> None:
    found = [(name, [card["finding"].code for card in cards]) for name, cards in groups(FLAGGED, DIGITS)]
    assert found == [
        ("Flagged", ["overtrained", "integrity"]),
        ("Too little data for an answer", ["slices"]),
        ("Not run", ["selection"]),
        ("Passed, or only described", ["performance", "gap"]),
    ]


def test_says_the_verdict_the_next_step_and_the_other_flags_once_each() -> None:
    above = top(FLAGGED)
    assert above["headline"] == "Loss is 0.1 nats higher."
    assert above["next"] == {"remedy": STOP, "gain": "0.040\u202fnats (0.020 to 0.060)"}
    assert above["also"] == [("leakage", "integrity")]
    assert above["limits"] == ["The recall of class 2 is unknown."]


def test_a_good_fit_has_nothing_to_do_next_but_keeps_what_limits_it() -> None:
    good = diagnosed(finding("gap", "Gap", "info"), flags=[], headline="It is good.\nSlices: was not run.")
    assert top(good) == {"headline": "It is good.", "limits": ["Slices: was not run."], "also": [], "next": None}


def test_of_two_checks_with_one_verdict_the_graver_one_leads() -> None:
    minor = finding("integrity", "Exact", "flag", verdict="leakage", minor=True)
    grave = finding("near_duplicates", "Near", "flag", verdict="leakage", remedy=KEEP)
    assert top(diagnosed(minor, grave, flags=["leakage"], headline="Leaked."))["next"] == {"remedy": KEEP, "gain": ""}


def test_a_summary_keeps_its_fix_where_no_remedy_is_shown() -> None:
    only = finding("gap", "Gap", "flag", verdict="underfit", summary="Bad. Fix: train longer.")
    ((_, (card,)),) = groups(diagnosed(only, flags=["underfit"], headline="Bad. Fix: train longer."), DIGITS)
    assert card["summary"] == "Bad. Fix: train longer."


def test_a_bar_shows_zero_and_the_reference_beside_the_interval() -> None:
    drawn = bar(finding("a", "A", "flag", estimate=0.06, ci_low=0.04, ci_high=0.1, reference=0.05))
    assert drawn is not None
    assert (drawn.zero, drawn.high) == (0.04, 0.96)  # both ends, within the margins
    assert drawn.low == pytest.approx(0.04 + 0.92 * 0.4, abs=1e-4)
    assert drawn.at == pytest.approx(0.04 + 0.92 * 0.6, abs=1e-4)
    assert drawn.reference == pytest.approx(0.04 + 0.92 * 0.5, abs=1e-4)


def test_a_bar_reaches_below_zero_and_out_to_a_far_reference() -> None:
    drawn = bar(finding("a", "A", "pass", estimate=-0.01, ci_low=-0.02, ci_high=0.0, reference=0.08))
    assert drawn is not None
    assert (drawn.low, drawn.zero, drawn.reference) == (0.04, 0.224, 0.96)


@pytest.mark.parametrize(
    "numbers",
    [(None, None, None), (0.1, None, None), (0.0, 0.0, 0.0), (0.1, 0.0, float("inf")), (float("nan"), 0.0, 1.0)],
)
def test_there_is_no_bar_without_an_interval(numbers: tuple[float | None, ...]) -> None:
    assert bar(finding("a", "A", "pass", **dict(zip(("estimate", "ci_low", "ci_high"), numbers, strict=True)))) is None
