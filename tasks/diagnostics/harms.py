"""The three tests that the checks `overtrained` and `overconfident` share, and how their results tell the two apart."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.contracts.findings import Status
from tasks.diagnostics.question import Estimate

if TYPE_CHECKING:
    from tasks.diagnostics.crossfit import Comparison
    from tasks.diagnostics.measured import Limits
    from tasks.statistics.comparisons import Contrast

TESTS = 3
# Not the epoch of lowest log-loss on the whole validation set: chosen on all of its images, that cannot be scored on any of them.
AGAINST = "the mean of those of two epochs, each chosen by its log-loss on one half of the validation set"
METHOD = (
    "Cross-fitting: each half of the validation set chooses the best epoch for the other half to score. One-sided paired t-test for "
    "log-loss, exact McNemar test for errors; p-values adjusted by Holm's method over the three tests that the checks "
    "overtrained and overconfident share. The minimum detectable effect is at alpha / 3."
)


@dataclass(frozen=True)
class Harm:
    """One of the three differences, with what it is judged by; in nats, or as a share of errors."""

    contrast: "Contrast"
    p_holm: float
    mde: float
    matters: float

    def proven(self, alpha: float) -> bool:
        """Above zero at `alpha` (Holm), unless the interval shows that it is smaller than any harm that matters."""
        return self.p_holm <= alpha and self.contrast.high >= self.matters

    @property
    def answered(self) -> bool:
        """The test had the power to detect a harm that matters, or the interval excludes one."""
        return self.powered or self.excluded

    @property
    def powered(self) -> bool:
        """The test would probably have detected a harm that matters."""
        return self.mde <= self.matters

    @property
    def excluded(self) -> bool:
        """The interval shows that any harm is smaller than what matters."""
        return self.contrast.high < self.matters

    @property
    def estimate(self) -> Estimate:
        """As the finding states it."""
        found = self.contrast
        return Estimate(found.estimate, found.low, found.high, found.p_value, self.p_holm, self.mde, self.matters)


@dataclass(frozen=True)
class Harms:
    """How much worse the saved epoch is: in log-loss, in log-loss after temperature scaling of both epochs, and in errors."""

    raw: Harm
    scaled: Harm
    error: Harm
    removable: bool  # temperature scaling lowers the log-loss of the saved epoch, at alpha
    temperature: float  # of the saved epoch, or the limit at which its fit ended

    def overtrained_by(self, alpha: float) -> Harm | None:
        """The difference that shows it: log-loss before or after temperature scaling, or errors; None where none does."""
        if self.raw.proven(alpha) and (self.scaled.proven(alpha) or not self.removable):
            return self.raw
        return next((harm for harm in (self.scaled, self.error) if harm.proven(alpha)), None)

    def overtrained(self, alpha: float) -> bool:
        """Worse than another epoch in a way that temperature scaling does not fix."""
        return self.overtrained_by(alpha) is not None

    def overconfident(self, alpha: float) -> bool:
        """Higher log-loss, a temperature above 1 lowers it, and no harm is shown to remain after scaling.

        That no harm is shown does not show that there is none: temperature scaling is known to fix the problem only where
        `scaled.excluded` holds.

        A temperature below 1 corrects underconfident probabilities, such as those of a model trained with squared error.
        """
        return self.raw.proven(alpha) and self.temperature > 1 and not self.overtrained(alpha)

    def overtrained_status(self, alpha: float) -> Status:
        """Flag, pass or inconclusive.

        Where a higher log-loss is proven, power alone does not show that temperature scaling removes all of it: the interval must.
        """
        if self.overtrained(alpha):
            return "flag"
        split = self.scaled.excluded or not self.overconfident(alpha)
        return "pass" if split and self.scaled.answered and self.error.answered else "inconclusive"


def harms(comparison: "Comparison", limits: "Limits") -> Harms:
    """Test the three differences of `comparison` at the error rates of `limits`.

    The minimum detectable effect is at alpha / 3, the strictest step of Holm's method, so that the stated power holds whatever the
    other two tests find.
    """
    from tasks.statistics.comparisons import detectable, holm

    contrasts = (
        comparison.raw_harm(limits.confidence),
        comparison.scaled_harm(limits.confidence),
        comparison.error_harm(limits.confidence),
    )
    adjusted = holm([contrast.p_value for contrast in contrasts])
    matters = (limits.harm_nats, limits.harm_nats, limits.harm_accuracy)
    raw, scaled, error = (
        Harm(contrast, p_holm, detectable(contrast.error, limits.alpha / TESTS, limits.power), smallest)
        for contrast, p_holm, smallest in zip(contrasts, adjusted, matters, strict=True)
    )
    removable = comparison.temperature_gain(limits.confidence).p_value <= limits.alpha
    return Harms(raw, scaled, error, removable, comparison.temperature)
