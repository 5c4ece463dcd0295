"""Which test images a person should look at: those whose labels are suspicious, and those that leaked from another split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.contracts.findings import Diagnosis, Finding

MOST = 24  # pictures on a sheet
LEAKS = ("integrity", "near_duplicates")


@dataclass(frozen=True)
class Suspect:
    """A test row whose given class looks wrong, the class that the model would rather see, and the margin of the logits."""

    row: int
    given: int
    suggested: int
    margin: float


@dataclass(frozen=True)
class Leak:
    """A test row that is also in another split; `train_row` is the training row that it is near to, None if it is an exact copy."""

    row: int
    train_row: int | None


def suspects(diagnosis: Diagnosis) -> list[Suspect]:
    """The candidates of the check `label_noise` on test, most suspicious first.

    Where the check raised no flag, only those with a margin below zero, where the model would rather see another class.
    """
    finding = _finding(diagnosis, "label_noise")
    if finding is None:
        return []
    columns = (_list(finding, f"test_candidate_{name}") for name in ("rows", "given_classes", "suggested_classes", "margin"))
    found = [Suspect(*values) for values in zip(*columns, strict=True)]
    return [suspect for suspect in found if finding.status == "flag" or suspect.margin < 0][:MOST]


def training_candidates(diagnosis: Diagnosis) -> list[int]:
    """The rows of train whose labels are the most suspicious: the numbers of those that `label_noise` lists."""
    finding = _finding(diagnosis, "label_noise")
    return [] if finding is None else list(_list(finding, "train_candidate_rows"))


def label_noise_flagged(diagnosis: Diagnosis) -> bool:
    finding = _finding(diagnosis, "label_noise")
    return finding is not None and finding.status == "flag"


def leaks(diagnosis: Diagnosis) -> list[Leak]:
    """Test rows that the checks for duplicates flagged, exact copies first."""
    found: list[Leak] = []
    for code in LEAKS:
        finding = _finding(diagnosis, code)
        if finding is not None and finding.status == "flag":
            rows, near = _list(finding, "leaked_test_rows")[:MOST], _list(finding, "training_rows_they_are_near_to")[:MOST]
            found += [Leak(row, near[place] if near else None) for place, row in enumerate(rows)]
    return found


def _finding(diagnosis: Diagnosis, code: str) -> Finding | None:
    return next((finding for finding in diagnosis.findings if finding.code == code), None)


def _list(finding: Finding, key: str) -> Sequence[Any]:
    item = finding.evidence.get(key, [])
    return item if isinstance(item, list) else []
