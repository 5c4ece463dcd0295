"""Which test images are shown for a person to look at."""

from typing import Any

import pytest

from tasks.charts.sheets import Leak, Suspect, leaks, suspects
from tasks.contracts.findings import Diagnosis, Status
from tests.tasks.test_report import diagnosis, finding


def with_finding(code: str, status: Status, evidence: dict[str, Any]) -> Diagnosis:
    return diagnosis(360).model_copy(update={"findings": [finding(code, "A check", status, evidence=evidence)]})


def candidates(margins: list[float]) -> dict[str, Any]:
    count = len(margins)
    return {
        "test_candidate_rows": list(range(count)),
        "test_candidate_given_classes": [1] * count,
        "test_candidate_suggested_classes": [2] * count,
        "test_candidate_margin": margins,
    }


def test_without_a_flag_only_labels_that_the_model_contradicts_are_suspicious() -> None:
    evidence = candidates([-3.0, -0.5, 0.5])
    assert suspects(with_finding("label_noise", "pass", evidence)) == [Suspect(0, 1, 2, -3.0), Suspect(1, 1, 2, -0.5)]
    assert len(suspects(with_finding("label_noise", "flag", evidence))) == 3
    assert suspects(with_finding("label_noise", "not_run", {})) == []
    assert suspects(diagnosis(360)) == []


@pytest.mark.parametrize("code", ["integrity", "near_duplicates"])
def test_leaked_rows_are_shown_where_the_check_flagged_them(code: str) -> None:
    evidence = {"leaked_test_rows": [4, 5]}
    assert leaks(with_finding(code, "flag", evidence)) == [Leak(4, None), Leak(5, None)]
    assert leaks(with_finding(code, "pass", evidence)) == []


def test_a_near_duplicate_names_its_training_row() -> None:
    evidence = {"leaked_test_rows": [4, 5], "training_rows_they_are_near_to": [8, 9]}
    assert leaks(with_finding("near_duplicates", "flag", evidence)) == [Leak(4, 8), Leak(5, 9)]


def test_shows_24_pictures_of_each_kind_at_most() -> None:
    assert len(suspects(with_finding("label_noise", "flag", candidates([-1.0] * 30)))) == 24
    assert len(leaks(with_finding("integrity", "flag", {"leaked_test_rows": list(range(30))}))) == 24
