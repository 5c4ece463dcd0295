"""The family of three tests that `overtrained` and `overconfident` decide by."""

from dataclasses import dataclass

from tasks.contracts.findings import Evidence, Finding, Remedy, Status
from tasks.diagnostics.crossfit import Comparison
from tasks.diagnostics.measured import Limits
from tasks.diagnostics.statistics import Contrast, detectable, holm

FAMILY = 3
METHOD = (
    "cross-fitted on two halves of the validation set; one-sided paired t-test (errors: exact McNemar test); "
    "Holm over the three tests of overtrained and overconfident; mde at alpha / 3"
)


@dataclass(frozen=True)
class Harm:
    """One contrast of the family, with what it is judged by, in its own unit (nats, or a share of errors)."""

    contrast: Contrast
    p_holm: float
    mde: float
    matters: float

    def proven(self, alpha: float) -> bool:
        """Above zero at `alpha` (Holm), unless the interval shows that it is smaller than any harm that matters."""
        return self.p_holm <= alpha and self.contrast.high >= self.matters

    @property
    def answered(self) -> bool:
        """A harm that matters would have been seen, or the interval excludes it."""
        return self.mde <= self.matters or self.excluded

    @property
    def excluded(self) -> bool:
        """The interval shows that any harm is smaller than what matters."""
        return self.contrast.high < self.matters


@dataclass(frozen=True)
class Question:
    """What a check of the family asks, in the words of its finding."""

    code: str
    title: str
    definition: str
    estimand: str

    def answer(self, harm: Harm | None, n: int, status: Status, evidence: Evidence, remedy: Remedy | None = None) -> Finding:
        """The finding, with the harm that it is about; None where nothing was estimated."""
        return Finding(
            code=self.code,
            title=self.title,
            definition=self.definition,
            estimand=self.estimand,
            estimate=harm.contrast.estimate if harm else None,
            ci_low=harm.contrast.low if harm else None,
            ci_high=harm.contrast.high if harm else None,
            method=METHOD,
            n=n,
            p_value=harm.contrast.p_value if harm else None,
            p_holm=harm.p_holm if harm else None,
            mde=harm.mde if harm else None,
            status=status,
            evidence=evidence,
            remedy=remedy,
        )

    def not_run(self, reason: str, n: int) -> Finding:
        """The finding where there is nothing to compare."""
        return self.answer(None, n, "not_run", {"summary": reason, "reason": reason})


@dataclass(frozen=True)
class Harms:
    """What the delivered epoch loses: in log-loss, in log-loss once both are temperature-scaled, and in errors."""

    raw: Harm
    scaled: Harm
    error: Harm
    gain: Contrast  # what a temperature takes off the delivered epoch's log-loss
    removable: bool  # that gain is above zero at alpha
    temperature: float  # of the delivered epoch

    def overtrained_by(self, alpha: float) -> Harm | None:
        """The harm that shows it: log-loss, as it is or with a temperature for each epoch, or errors; None where none does."""
        if self.raw.proven(alpha) and (self.scaled.proven(alpha) or not self.removable):
            return self.raw
        return next((harm for harm in (self.scaled, self.error) if harm.proven(alpha)), None)

    def overtrained(self, alpha: float) -> bool:
        """Worse in a way that no temperature is seen to mend."""
        return self.overtrained_by(alpha) is not None

    def overconfident(self, alpha: float) -> bool:
        """More log-loss, a temperature above 1 lowers it, and what it leaves is not shown to be a harm.

        Not shown to be one is not shown to be none: that the temperature removes the harm is known only where `scaled.excluded`.

        A temperature below 1 mends probabilities that are too cautious, as those of a squared-error loss are.
        """
        return self.raw.proven(alpha) and self.temperature > 1 and not self.overtrained(alpha)

    def overtrained_status(self, alpha: float) -> Status:
        """Flag, or what the absence of one is worth.

        With log-loss proven to be lost, power is no proof that a temperature takes all of it: the interval must show it.
        """
        if self.overtrained(alpha):
            return "flag"
        split = self.scaled.excluded or not self.overconfident(alpha)
        return "pass" if split and self.scaled.answered and self.error.answered else "inconclusive"


def harms(comparison: Comparison, limits: Limits) -> Harms:
    """Test the three harms of `comparison` at the rates of `limits`.

    The minimum detectable effect is at alpha / 3, the strictest step of Holm: what is promised to be seen is seen whatever the
    other two tests say.
    """
    contrasts = (
        comparison.raw_harm(limits.confidence),
        comparison.scaled_harm(limits.confidence),
        comparison.error_harm(limits.confidence),
    )
    adjusted = holm([contrast.p_value for contrast in contrasts])
    matters = (limits.harm_nats, limits.harm_nats, limits.harm_accuracy)
    raw, scaled, error = (
        Harm(contrast, p_holm, detectable(contrast.error, limits.alpha / FAMILY, limits.power), smallest)
        for contrast, p_holm, smallest in zip(contrasts, adjusted, matters, strict=True)
    )
    gain = comparison.temperature_gain(limits.confidence)
    return Harms(raw, scaled, error, gain, gain.p_value <= limits.alpha, comparison.temperature)
