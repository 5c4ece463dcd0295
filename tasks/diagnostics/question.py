"""What a check asks, in fixed words, and the finding that its answer becomes."""

from dataclasses import dataclass

from tasks.contracts.findings import Evidence, Finding, Remedy, Status, Unit


@dataclass(frozen=True)
class Estimate:
    """An estimate in the unit of its question; what was not computed is None."""

    value: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    mde: float | None = None  # minimum detectable effect
    reference: float | None = None  # what the value is judged against


@dataclass(frozen=True)
class Question:
    """What a check asks: its name, what it is about, what exactly is estimated, in which unit and how."""

    code: str
    title: str
    definition: str
    estimand: str
    method: str
    unit: Unit
    reference: str = "smallest that matters"  # what the estimate is judged against

    def answer(
        self,
        status: Status,
        summary: str,
        n: int,
        estimate: Estimate | None = None,
        *,
        evidence: Evidence | None = None,
        remedy: Remedy | None = None,
        minor: bool = False,
        by_exclusion: bool = False,
        note: str = "",
    ) -> Finding:
        """The finding. `n` is the number of examples that the estimate rests on; without an estimate its fields are None."""
        return Finding(
            code=self.code,
            title=self.title,
            definition=self.definition,
            estimand=self.estimand,
            unit=self.unit,
            estimate=estimate.value if estimate else None,
            ci_low=estimate.low if estimate else None,
            ci_high=estimate.high if estimate else None,
            method=self.method,
            n=n,
            p_value=estimate.p_value if estimate else None,
            p_holm=estimate.p_holm if estimate else None,
            mde=estimate.mde if estimate else None,
            reference=estimate.reference if estimate else None,
            reference_name=self.reference if estimate and estimate.reference is not None else "",
            status=status,
            summary=summary,
            evidence=evidence or {},
            remedy=remedy,
            minor=minor,
            by_exclusion=by_exclusion,
            note=note,
        )

    def not_run(self, reason: str, n: int) -> Finding:
        """The finding where nothing could be estimated."""
        return self.answer("not_run", reason, n)
