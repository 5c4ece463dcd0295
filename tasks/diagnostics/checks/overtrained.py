"""Was the model trained past its best epoch?"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.harms import AGAINST, METHOD, TESTS, Harms, harms
from tasks.diagnostics.question import Question
from tasks.diagnostics.steadiness import LEAST_RISES, LOWER_RATE, SEEN, SOURCE, rises_since_best
from tasks.diagnostics.words import change, interval, points, points_interval

if TYPE_CHECKING:
    from tasks.diagnostics.crossfit import Comparison
    from tasks.diagnostics.early_stopping import Replay
    from tasks.diagnostics.measured import Limits, Measured

VERDICT = "overtrained"
PRECEDENCE = 70
REQUIRED = True
QUESTION = Question(
    code="overtrained",
    title="Trained too long (overfitting)",
    definition="The saved epoch is worse on validation than another epoch, in a way that temperature scaling does not fix. "
    "Stopping earlier helps, or a lower learning rate where the training loss jumps up and down.",
    estimand=f"expected log-loss of the saved epoch minus {AGAINST}, all after temperature scaling, in nats; the difference in error "
    "rate is in the evidence",
    method=METHOD,
    unit="nats",
)
STOPPED = "lowest val_loss"  # how the saved epoch was chosen, where early stopping was on
REGULARISE = (
    "regularise (train.regularisation.l2, train.augmentation) or use a smaller model; the saved epoch was already chosen by the lowest "
    "validation loss, as early stopping does"
)


class Settings(Section):
    least_rises: float = Field(gt=0, lt=1, default=LEAST_RISES)  # share of rises of the training loss: the rate is too high


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag when the saved epoch makes more errors than the cross-fitted best epoch, or keeps a higher log-loss after scaling.

    A flag needs a difference above zero (one-sided, Holm) that is not shown to be smaller than `harm_nats` or `harm_accuracy`.

    Overfitting goes with a training loss that falls. Where it jumps up and down instead between the best epoch and the saved one, the
    saved epoch is worse because the learning rate is too high for the weights to settle, and the words and the remedy say so. Without
    the recorded training losses (a diagnosis of tables) the two are not told apart.

    How much worse the last epoch is than the best one is the generalisation loss of Prechelt 1998 (Early stopping - but when?). Here
    it is a difference, and cross-fitting (Chernozhukov et al. 2018, section 3) takes away the bias of choosing and scoring on the same
    images. Errors are compared by the exact, binomial form of McNemar 1947; the three p-values are adjusted by the method of Holm 1979.

    Cost: the comparison of epochs, made once for this check and `overconfident`; 0.3 s for 12,000 validation images.
    """
    comparison = measured.comparison
    if isinstance(comparison, str):
        return QUESTION.not_run(comparison, len(measured.val.labels))
    found = harms(comparison, limits)
    share = rises_since_best(measured, comparison)
    unsteady = None if share is None else share >= settings.least_rises
    status = found.overtrained_status(limits.alpha)
    stopped = measured.chosen_by == STOPPED
    replay = _replay(measured, found, limits) if status == "flag" and not unsteady and not stopped else None
    raw, error = found.raw.contrast, found.error.contrast
    return QUESTION.answer(
        status,
        _flag(comparison, found, limits, _fix(replay, limits, unsteady=unsteady, stopped=stopped))
        if status == "flag"
        else _summary(status, comparison, found, limits),
        len(comparison.half),
        found.scaled.estimate,
        evidence={
            "saved_epoch": comparison.saved,
            "saved_epoch_chosen_by": measured.chosen_by,
            "compared_with_epochs": list(comparison.chosen),
            "loss_increase_before_temperature_scaling": raw.estimate,
            "loss_increase_before_temperature_scaling_ci": [raw.low, raw.high],
            "error_rate_increase": error.estimate,
            "error_rate_increase_ci": [error.low, error.high],
            "error_rate_p_value": error.p_value,
            "error_rate_p_value_after_holm_adjustment": found.error.p_holm,
            "smallest_detectable_error_rate_increase": found.error.mde,
            **({} if share is None else {"share_of_rises_of_the_training_loss": share}),
            "smallest_loss_increase_that_matters": limits.harm_nats,
            "smallest_error_rate_increase_that_matters": limits.harm_accuracy,
        },
        remedy=(_lower_rate() if unsteady else _regularise() if stopped else _remedy(replay)) if status == "flag" else None,
        by_exclusion=status == "pass" and not (found.scaled.powered and found.error.powered),
    )


def _summary(status: Status, comparison: "Comparison", found: Harms, limits: "Limits") -> str:
    """What is said where nothing is flagged."""
    scaled, images = found.scaled.contrast, f"{len(comparison.half)} validation images"
    scaled_ci = interval(scaled.low, scaled.high, limits.confidence)
    if status == "pass":
        return _pass(comparison, found, limits)
    if not found.scaled.excluded and found.overconfident(limits.alpha):
        return (
            f"After temperature scaling, log-loss is {scaled.estimate:.3f} nats higher ({scaled_ci}) at the saved epoch "
            f"{comparison.saved} than at {comparison.against()}; {images} are too few to show whether this reaches "
            f"{limits.harm_nats:g} nats. Use a larger validation set (preprocess.val_fraction)."
        )
    unseen = [
        (found.scaled, f"log-loss of {limits.harm_nats:g} nats", f"{found.scaled.mde:.3f} nats"),
        (found.error, f"error rate of {points(limits.harm_accuracy)}", points(found.error.mde)),
    ]
    named = " or in ".join(name for harm, name, _ in unseen if not harm.answered)
    smallest = " and ".join(detectable for harm, _, detectable in unseen if not harm.answered)
    return (
        f"{images} are too few to detect an increase in {named} from training too long (smallest detectable: {smallest}). Use a "
        "larger validation set (preprocess.val_fraction)."
    )


def _pass(comparison: "Comparison", found: Harms, limits: "Limits") -> str:
    scaled, error, images = found.scaled.contrast, found.error.contrast, f"{len(comparison.half)} validation images"
    scaled_ci = interval(scaled.low, scaled.high, limits.confidence)
    if set(comparison.chosen) == {comparison.saved}:
        return f"The saved epoch {comparison.saved} itself has the lowest log-loss on {images} ({scaled_ci} nats of increase)."
    return (
        f"After temperature scaling, the saved epoch {comparison.saved} is not meaningfully worse than {comparison.against()} "
        f"on {images}: log-loss differs by {scaled.estimate:.3f} nats ({scaled_ci}), the error rate by {change(error.estimate)} "
        f"({points_interval(error.low, error.high, limits.confidence)})."
    )


def _flag(comparison: "Comparison", found: Harms, limits: "Limits", fix: str) -> str:
    """What is wrong and by how much, how we know, and what to do."""
    harm = found.overtrained_by(limits.alpha)
    seen = harm.contrast if harm else found.raw.contrast
    if harm is found.error:
        amount = f"The validation error rate is {points(seen.estimate)} higher"
        between = points_interval(seen.low, seen.high, limits.confidence)
    else:
        scaled = harm is found.scaled
        amount = (
            f"{'After temperature scaling, validation' if scaled else 'Validation'} log-loss is {seen.estimate:.3f} nats higher"
        )
        between = interval(seen.low, seen.high, limits.confidence)
    unfixed = ", which temperature scaling does not fix" if harm is found.raw else ""
    return (
        f"{amount} ({between}) at the saved epoch {comparison.saved} than at {comparison.against()}{unfixed}. Measured by "
        f"cross-fitting on {len(comparison.half)} validation images. {fix}"
    )


def _fix(replay: "Replay | None", limits: "Limits", *, unsteady: bool | None, stopped: bool) -> str:
    """What to do; `unsteady` is None where the training losses were not recorded."""
    if unsteady:
        return f"{SEEN} Fix: {LOWER_RATE}."
    unknown = " Without the training losses of every epoch, a rate that is too high looks alike." if unsteady is None else ""
    if stopped:
        return f"Fix: {REGULARISE}.{unknown}"
    promised = ""
    if replay is not None:
        gain = replay.gain
        promised = f", with an expected gain of {gain.estimate:.3f} nats ({interval(gain.low, gain.high, limits.confidence)})"
    return f"Fix: early stopping ({_setting()}){promised}.{unknown}"


def _setting() -> str:
    """The options of the rule that is replayed."""
    from tasks.diagnostics.early_stopping import MIN_DELTA, PATIENCE

    return f"train.early_stopping: {{enabled: true, patience: {PATIENCE}, min_delta: {MIN_DELTA:g}}}"


def _replay(measured: "Measured", found: Harms, limits: "Limits") -> "Replay | None":
    """Early stopping, where the records show that it brings something.

    Only a harm that was shown is followed by a promise, which favours overestimates. The interval therefore keeps the error rate
    among the promises that are made (Benjamini and Yekutieli 2005: at level 1 - q R / m, with R of m tests rejected).
    """
    from tasks.diagnostics.early_stopping import replayed

    shown = sum(harm.p_holm <= limits.alpha for harm in (found.raw, found.scaled, found.error))
    replay = replayed(measured, 1 - (1 - limits.confidence) * shown / TESTS)
    return replay if replay is not None and replay.gain.low > 0 else None


def _remedy(replay: "Replay | None") -> Remedy:
    action = f"Early stopping: set {_setting()}."
    if replay is None:
        source = "The recorded epochs do not show how much it brings."
        return Remedy(action=action, expected_gain=None, ci=None, unit=None, basis="records", source=source)
    return Remedy(
        action=action,
        expected_gain=replay.gain.estimate,
        ci=(replay.gain.low, replay.gain.high),
        unit="nats",
        basis="records",
        source="The rule was replayed on the recorded epochs with one half of the validation set and scored on the other. It stops at "
        f"{' and '.join(f'epoch {epoch}' for epoch in sorted(set(replay.stopped)))}.",
    )


def _regularise() -> Remedy:
    """No gain is promised: no record shows what it brings."""
    return Remedy(
        action=f"{REGULARISE[0].upper()}{REGULARISE[1:]}.",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="The saved epoch was chosen by the lowest validation loss.",
    )


def _lower_rate() -> Remedy:
    """No gain is promised: no record shows what a lower rate brings."""
    return Remedy(
        action=f"{LOWER_RATE.capitalize()}.",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source=SOURCE,
    )
