"""What `--fail-on` names, on a diagnosis whose flags are known."""

import pytest

from flows.flags import check_flags, fails, flag_names
from tasks.contracts.findings import Diagnosis, Status
from tasks.contracts.flags import raised_flags, unanswered_flags
from tasks.core.errors import UnknownNameError
from tasks.diagnostics.question import Question


def diagnosis(flags: list[str], answered: list[str], **statuses: Status) -> Diagnosis:
    def question(code: str) -> Question:
        return Question(code, title="", definition="", estimand="", method="", unit="nats")

    findings = [question(code).answer(status, "", 1) for code, status in statuses.items()]
    verdict = flags[0] if flags else "good_fit"
    return Diagnosis(verdict=verdict, headline="", flags=flags, answered=answered, findings=findings, confidence=0.95)


LEAKED = diagnosis(["leakage"], ["leakage", "overtrained"], integrity="flag", overtrained="pass", calibration="inconclusive")


@pytest.mark.parametrize(
    ("wanted", "raised"),
    [
        (["leakage"], ["leakage"]),
        (["integrity"], ["integrity"]),
        (["overtrained", "integrity", "leakage"], ["leakage", "integrity"]),
        (["any"], ["leakage"]),
        (["overtrained", "miscalibrated", "underfit"], []),
        ([], []),
    ],
)
def test_a_flag_is_named_by_its_verdict_or_by_its_check(wanted: list[str], raised: list[str]) -> None:
    assert raised_flags(wanted, LEAKED) == raised


def test_no_flag_is_raised_by_a_diagnosis_without_flags() -> None:
    assert raised_flags(["any", "integrity"], diagnosis([], ["leakage"], integrity="pass")) == []


def test_a_name_that_no_check_bears_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown flag 'leakge'; .*did you mean 'leakage'"):
        check_flags(["any", "leakge"])
    with pytest.raises(UnknownNameError, match="unknown flag 'gap'"):
        check_flags(["gap"])  # it only describes, so that it would never fail
    check_flags(flag_names())


def test_what_no_check_could_tell_is_not_answered() -> None:
    wanted = ["any", "leakage", "integrity", "overtrained", "calibration", "miscalibrated", "underfit"]
    assert unanswered_flags(wanted, LEAKED) == ["calibration", "miscalibrated", "underfit"]


def test_inconclusive_is_raised_as_that_verdict_and_always_answered() -> None:
    open_ = diagnosis([], [], integrity="inconclusive").model_copy(update={"verdict": "inconclusive"})
    assert raised_flags(["inconclusive"], open_) == ["inconclusive"]
    assert (raised_flags(["inconclusive"], LEAKED), unanswered_flags(["inconclusive"], LEAKED)) == ([], [])


def test_it_fails_and_says_what_is_raised_and_what_is_not_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(["leakage", "underfit"], LEAKED)
    assert capsys.readouterr().err == (
        "error: --fail-on underfit: no check had the data to tell\nerror: raised: leakage (--fail-on leakage,underfit)\n"
    )
    assert not fails(["overtrained"], LEAKED)
    assert capsys.readouterr().err == ""
