"""Did the probabilities become too extreme, while the decisions stayed as good?"""

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.diagnostics.crossfit import Comparison
from tasks.diagnostics.harms import Harms, Question, harms
from tasks.diagnostics.measured import Limits, Measured

QUESTION = Question(
    code="overconfident",
    title="Overconfident",
    definition="The delivered epoch has more log-loss than an earlier one, and one temperature for all probabilities lowers it.",
    estimand="expected log-loss of the delivered epoch minus that of the epoch that validation chooses, in nats",
)


def check(measured: Measured, limits: Limits) -> Finding:
    """Flag when the delivered epoch has more log-loss than the cross-fitted best one and an out-of-fold temperature lowers it.

    Lowers: the temperature is above 1 and lowers the delivered epoch's log-loss (one-sided, at alpha), and `overtrained` is not
    flagged. Removes is said only where the interval of what is left ends below `harm_nats`.
    """
    comparison = measured.comparison
    if isinstance(comparison, str):
        return QUESTION.not_run(comparison, len(measured.val.labels))
    found = harms(comparison, limits)
    status: Status = "pass"
    if found.overconfident(limits.alpha):
        status = "flag"
    elif not (found.raw.answered or found.raw.proven(limits.alpha) or found.overtrained(limits.alpha)):
        status = "inconclusive"
    left = found.scaled.contrast
    return QUESTION.answer(
        found.raw,
        len(comparison.half),
        status,
        {
            "summary": _summary(status, comparison, found, limits),
            "delivered_epoch": comparison.delivered,
            "delivered_by": measured.chosen_by,
            "chosen_epochs": list(comparison.chosen),
            "temperature": comparison.temperature,
            "temperature_gain": found.gain.estimate,
            "temperature_gain_ci": [found.gain.low, found.gain.high],
            "harm_left_by_temperature": left.estimate,
            "harm_left_by_temperature_ci": [left.low, left.high],
            "temperature_removes_the_harm": "shown" if found.scaled.excluded else "not shown",
            "smallest_harm_nats": limits.harm_nats,
        },
        _remedy(comparison, found) if status == "flag" else None,
    )


def _summary(status: Status, comparison: Comparison, found: Harms, limits: Limits) -> str:
    raw, rows = found.raw.contrast, f"{len(comparison.half)} validation rows"
    if status == "flag":
        return (
            f"Epoch {comparison.delivered} loses {raw.estimate:.3f} nats ({raw.low:.3f} to {raw.high:.3f}) against "
            f"{comparison.against()} on {rows}, but {_mended(found, limits)}; divide the logits by {comparison.temperature:.2f}."
        )
    if status == "inconclusive":
        return (
            f"{rows} cannot show a harm as small as {limits.harm_nats:g} nats from overconfidence "
            f"(smallest that they can: {found.raw.mde:.3f})"
        )
    if found.overtrained(limits.alpha):
        return "The harm is that of training too far, not of overconfidence alone."
    if found.raw.proven(limits.alpha):
        return f"The probabilities are too cautious, not too extreme (T = {comparison.temperature:.2f}): that is no overconfidence."
    return f"No log-loss that matters is lost to overconfidence, on {rows}."


def _mended(found: Harms, limits: Limits) -> str:
    """What a temperature is shown to do, and what stays open."""
    if not found.scaled.excluded:
        left = found.scaled.contrast
        return (
            f"a temperature takes {found.gain.estimate:.3f} nats off; whether the rest, {left.estimate:.3f} ({left.low:.3f} to "
            f"{left.high:.3f}), is harm cannot be told (overtrained: inconclusive)"
        )
    if found.overtrained_status(limits.alpha) == "inconclusive":
        return "a temperature removes that; whether it also makes more errors cannot be told (overtrained: inconclusive)"
    return "a temperature removes that"


def _remedy(comparison: Comparison, found: Harms) -> Remedy:
    return Remedy(
        action=f"temperature-scale the probabilities (T = {comparison.temperature:.2f})",
        expected_gain=found.gain.estimate,
        ci=(found.gain.low, found.gain.high),
        source="log-loss, in nats, that a temperature fitted on one half of the validation set saves on the other",
    )
