"""Was training continued past its best epoch?"""

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.diagnostics.crossfit import Comparison
from tasks.diagnostics.harms import Harm, Harms, Question, harms
from tasks.diagnostics.measured import Limits, Measured

QUESTION = Question(
    code="overtrained",
    title="Trained too far",
    definition="The delivered epoch is worse than an earlier one, in a way that no temperature is seen to mend: stopping early helps.",
    estimand="expected log-loss of the delivered epoch minus that of the epoch that validation chooses, both temperature-scaled, "
    "in nats; for errors see the evidence",
)


def check(measured: Measured, limits: Limits) -> Finding:
    """Flag when the delivered epoch makes more errors than the cross-fitted best one, or has more log-loss that stays under an
    out-of-fold temperature.

    A flag needs a harm above zero (one-sided, Holm) that is not shown to be smaller than `harm_nats` or `harm_accuracy`.
    """
    comparison = measured.comparison
    if isinstance(comparison, str):
        return QUESTION.not_run(comparison, len(measured.val.labels))
    found = harms(comparison, limits)
    status, harm = found.overtrained_status(limits.alpha), found.overtrained_by(limits.alpha)
    raw, error = found.raw.contrast, found.error.contrast
    return QUESTION.answer(
        found.scaled,
        len(comparison.half),
        status,
        {
            "summary": _summary(status, comparison, found, limits),
            "delivered_epoch": comparison.delivered,
            "delivered_by": measured.chosen_by,
            "chosen_epochs": list(comparison.chosen),
            "log_loss_harm": raw.estimate,
            "log_loss_harm_ci": [raw.low, raw.high],
            "error_harm": error.estimate,
            "error_harm_ci": [error.low, error.high],
            "error_p_value": error.p_value,
            "error_p_holm": found.error.p_holm,
            "error_mde": found.error.mde,
            "smallest_harm_nats": limits.harm_nats,
            "smallest_harm_accuracy": limits.harm_accuracy,
        },
        _remedy(found, harm) if harm else None,
    )


def _summary(status: Status, comparison: Comparison, found: Harms, limits: Limits) -> str:
    raw, scaled, error = found.raw.contrast, found.scaled.contrast, found.error.contrast
    rows = f"{len(comparison.half)} validation rows"
    if status == "pass":
        return (
            f"No epoch is better than epoch {comparison.delivered} by what matters, once each has its temperature, on {rows}."
        )
    if status == "inconclusive" and not found.scaled.excluded and found.overconfident(limits.alpha):
        return (
            f"{rows} cannot show whether what a temperature leaves of the lost log-loss, {scaled.estimate:.3f} nats ({scaled.low:.3f} "
            f"to {scaled.high:.3f}), is a harm of {limits.harm_nats:g} nats from training too far"
        )
    if status == "inconclusive":
        unseen = [(found.scaled, f"{limits.harm_nats:g} nats"), (found.error, f"{limits.harm_accuracy:g} in accuracy")]
        harms_named = " or ".join(named for harm, named in unseen if not harm.answered)
        smallest = ", ".join(f"{harm.mde:.3f}" for harm, _ in unseen if not harm.answered)
        return f"{rows} cannot show a harm as small as {harms_named} from training too far (smallest that they can: {smallest})"
    harm = found.overtrained_by(limits.alpha)
    if harm is found.error:
        loss = f"makes {100 * error.estimate:.1f} more errors in 100 ({100 * error.low:.1f} to {100 * error.high:.1f})"
    elif harm is found.scaled:
        loss = f"loses {scaled.estimate:.3f} nats ({scaled.low:.3f} to {scaled.high:.3f}), each with its temperature,"
    else:
        loss = f"loses {raw.estimate:.3f} nats ({raw.low:.3f} to {raw.high:.3f})"
    return f"Epoch {comparison.delivered} {loss} against {comparison.against()} on {rows}; stop early."


def _remedy(found: Harms, harm: Harm) -> Remedy:
    """Early stopping, which gives back the harm that was shown."""
    unit = "accuracy" if harm is found.error else "nats of log-loss"
    scaled = ", both epochs temperature-scaled" if harm is found.scaled else ""
    return Remedy(
        action="set train.early_stopping.enabled: true",
        expected_gain=harm.contrast.estimate,
        ci=(harm.contrast.low, harm.contrast.high),
        source=f"cross-fitted estimate on the validation set, in {unit}{scaled}",
    )
