"""What `diagnose` hands on: findings, flags and one verdict."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.files import expecting, read_text, write_json

DIAGNOSIS = Path("results/diagnosis.json")
# What of it fits into the tables of `dvc metrics` and `dvc exp show`: a word and numbers.
SUMMARY = Path("metrics/diagnosis.json")

Status = Literal["pass", "flag", "inconclusive", "not_run"]
Verdict = Literal[
    "leakage",
    "label_noise",
    "memorised",
    "overtrained",
    "overconfident",
    "selection_overfit",
    "underfit",
    "inconclusive",
    "good_fit",
]
# What was seen, by name; each value as the report and JSON show it.
Evidence = dict[str, str | int | float | list[int] | list[str] | list[float]]


class Remedy(BaseModel):
    """What to do, and what it is expected to bring."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    expected_gain: float | None
    ci: tuple[float, float] | None
    source: str


class Finding(BaseModel):
    """One check's answer. What was not estimated is None; `evidence` says in words and numbers what was seen, or why it was not run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    title: str
    definition: str
    estimand: str
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    method: str
    n: int
    p_value: float | None
    p_holm: float | None
    mde: float | None  # minimum detectable effect, in the estimate's unit
    status: Status
    evidence: Evidence
    remedy: Remedy | None


class Diagnosis(BaseModel):
    """`results/diagnosis.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    headline: str  # one sentence, which does not repeat the verdict
    flags: list[str]
    findings: list[Finding]


def write_diagnosis(root: Path, diagnosis: Diagnosis) -> None:
    """Write the whole, and its summary: the verdict, the number of flags, and the estimate of every check that has one."""
    write_json(root / DIAGNOSIS, diagnosis.model_dump(mode="json"))
    estimates = {finding.code: finding.estimate for finding in diagnosis.findings if finding.estimate is not None}
    write_json(root / SUMMARY, {"verdict": diagnosis.verdict, "flags": len(diagnosis.flags), **estimates})


def read_diagnosis(root: Path) -> Diagnosis:
    """Read the diagnosis.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    with expecting(root / DIAGNOSIS, "diagnose"):
        return Diagnosis.model_validate_json(read_text(root / DIAGNOSIS, "diagnose"))
