"""What `diagnose` hands on: one finding for each check, the flags that were raised, and the verdict."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.files import expecting, read_text, write_json

DIAGNOSIS = Path("results/diagnosis.json")
# The part that fits into the tables of experiments: the verdict and one number for each check.
SUMMARY = Path("metrics/diagnosis.json")

GOOD_FIT, INCONCLUSIVE = "good_fit", "inconclusive"
ALSO = "Also flagged:"  # begins the line of the headline that names the other flags

# "info" is the status of a check that only describes: it neither passes nor flags, and no verdict depends on it.
Status = Literal["pass", "flag", "inconclusive", "not_run", "info"]
# "nats": log-loss, with the natural logarithm. "fraction": in [0, 1], or a difference of two such; shown in percent.
Unit = Literal["nats", "fraction"]
# What the gain of a remedy, or the advice without one, rests on.
Basis = Literal["records", "pilot", "literature"]
BASES: dict[Basis, str] = {"records": "the records of this run", "pilot": "a pilot run", "literature": "the literature"}
# What was seen, by name; the report shows each name with its underscores as spaces.
Evidence = dict[str, str | int | float | list[int] | list[str] | list[float]]


class Remedy(BaseModel):
    """What to do, and how large an improvement to expect from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    expected_gain: float | None
    ci: tuple[float, float] | None
    unit: Unit | None  # of the gain
    basis: Basis | None = None  # None only where it was written before remedies stated it
    source: str  # which records, which pilot run or which literature, and how the gain was found

    @property
    def grounds(self) -> str:
        """What it rests on, in words: the kind of source, and the source."""
        return f"{BASES[self.basis]}. {self.source}" if self.basis else self.source


class Finding(BaseModel):
    """The answer of one check. What was not estimated is None; `summary` says it in words, or why the check was not run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    title: str
    definition: str
    estimand: str
    unit: Unit  # of estimate, ci_low, ci_high and mde
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    method: str
    n: int
    p_value: float | None
    p_holm: float | None
    mde: float | None  # minimum detectable effect
    reference: float | None = None  # what the estimate is judged against, in its unit
    reference_name: str = ""  # what that number is
    status: Status
    summary: str
    evidence: Evidence
    remedy: Remedy | None
    minor: bool = False  # a flag of something that hardly changes a number: any other flag comes before it
    by_exclusion: bool = False  # passed because the interval excludes any harm that matters, without the power to detect one
    note: str = ""  # what has to be known beside any verdict, in a sentence that the headline repeats
    verdict: str | None = None  # what a flag of the check means; None for one that only describes


class Diagnosis(BaseModel):
    """`results/diagnosis.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: str  # that of the first flag in the order of precedence, "inconclusive" or "good_fit"
    headline: (
        str  # what is wrong, by how much, how we know, what to do; does not repeat the verdict; other flags on a second line
    )
    flags: list[str]  # the verdicts of all checks that raised a flag, in the order of precedence
    answered: list[str]  # the verdicts that a check reached, or that all their listed checks had the data to rule out
    findings: list[Finding]
    confidence: float  # confidence level of the intervals


def write_diagnosis(root: Path, diagnosis: Diagnosis) -> None:
    """Write the whole diagnosis, and its summary: the verdict, the number of `flags`, and the estimate of each check that has one."""
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
