"""Did the predicted probabilities become too extreme from one epoch to another, while the predicted classes stayed as accurate?"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Evidence, Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.harms import AGAINST, METHOD, Harms, harms
from tasks.diagnostics.question import Question
from tasks.diagnostics.steadiness import LEAST_RISES, LOWER_RATE, SEEN, SOURCE, rises_since_best
from tasks.diagnostics.words import change, interval, points_interval

if TYPE_CHECKING:
    from tasks.diagnostics.crossfit import Comparison
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.diagnostics.scaling import Scaling

VERDICT = "overconfident"
PRECEDENCE = 80
REQUIRED = True
QUESTION = Question(
    code="overconfident",
    title="Overconfidence that grew while training",
    definition="Validation log-loss is higher at the saved epoch than at the best epoch, and temperature scaling (dividing all "
    "logits by one number above 1) lowers it. This compares epochs; whether the probabilities of the saved epoch match its accuracy is "
    "what the check calibration asks.",
    estimand=f"expected log-loss of the saved epoch minus {AGAINST}, in nats",
    method=METHOD,
    unit="nats",
)


class Settings(Section):
    least_rises: float = Field(gt=0, lt=1, default=LEAST_RISES)  # share of rises of the training loss: the rate is too high


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag when the saved epoch has a higher log-loss than the cross-fitted best epoch and temperature scaling lowers it.

    "Lowers it" means that the temperature is above 1, that it lowers the log-loss of the saved epoch (one-sided, at alpha), and
    that `overtrained` does not flag. That it removes the increase is said only where the interval of what remains ends below
    `harm_nats`.

    Where the training loss jumps up and down between the best epoch and the saved one, the learning rate is too high, as in the check
    overtrained, and that is named first: temperature scaling corrects the probabilities and not the cause.

    Guo et al. 2017 show that log-loss can rise by overconfidence alone, while the error rate does not (section 3); the temperature is
    theirs (section 4.2). Cross-fitting and tests are those of `overtrained` (Chernozhukov et al. 2018; McNemar 1947; Holm 1979).

    Cost: that of `overtrained`, which is made once for both; a flag adds that of `scaling`.
    """
    from tasks.diagnostics.scaling import scaling

    comparison = measured.comparison
    if isinstance(comparison, str):
        return QUESTION.not_run(comparison, len(measured.val.labels))
    found = harms(comparison, limits)
    status: Status = "pass"
    if found.overconfident(limits.alpha):
        status = "flag"
    elif not (found.raw.answered or found.raw.proven(limits.alpha) or found.overtrained(limits.alpha)):
        status = "inconclusive"
    scaled = scaling(measured, limits.confidence)[0] if status == "flag" else None
    left = found.scaled.contrast
    share = rises_since_best(measured, comparison)
    unsteady = share is not None and share >= settings.least_rises
    return QUESTION.answer(
        status,
        " ".join(_flag(comparison, found, scaled, limits, unsteady=unsteady))
        if scaled
        else _summary(status, comparison, found, limits),
        len(comparison.half),
        found.raw.estimate,
        evidence={
            "saved_epoch": comparison.saved,
            "saved_epoch_chosen_by": measured.chosen_by,
            "compared_with_epochs": list(comparison.chosen),
            **_temperature(comparison, scaled),
            "loss_increase_after_temperature_scaling": left.estimate,
            "loss_increase_after_temperature_scaling_ci": [left.low, left.high],
            "temperature_scaling_removes_the_increase": "shown" if found.scaled.excluded else "not shown",
            **({} if share is None else {"share_of_rises_of_the_training_loss": share}),
            "smallest_increase_that_matters": limits.harm_nats,
        },
        remedy=_remedy(scaled, unsteady=unsteady) if scaled else None,
        by_exclusion=status == "pass" and not found.raw.powered and found.raw.excluded,
    )


def _summary(status: Status, comparison: "Comparison", found: Harms, limits: "Limits") -> str:
    """What is said where nothing is flagged."""
    raw, images = found.raw.contrast, f"{len(comparison.half)} validation images"
    if status == "inconclusive":
        return (
            f"{images} are too few to detect an increase in log-loss of {limits.harm_nats:g} nats from overconfidence (smallest "
            f"detectable: {found.raw.mde:.3f} nats). Use a larger validation set (preprocess.val_fraction)."
        )
    if found.overtrained(limits.alpha):
        return "Overconfidence alone does not explain the damage: see “Trained too long (overfitting)”."
    if found.raw.proven(limits.alpha):
        return (
            "Overconfidence does not explain the increase in log-loss: the probabilities of the saved epoch are not overconfident but "
            f"underconfident{_below_one(comparison.fitted)}"
        )
    return (
        f"No meaningful increase in log-loss over the best epoch was found on {images}: {raw.estimate:.3f} nats "
        f"({interval(raw.low, raw.high, limits.confidence)})."
    )


def _below_one(fitted: float | str) -> str:
    """The end of the sentence about a temperature below 1."""
    return f". {fitted}" if isinstance(fitted, str) else f" (fitted temperature T = {fitted:.2f})."


def _temperature(comparison: "Comparison", scaled: "Scaling | None") -> Evidence:
    """The temperature where there is one; its gain where temperature scaling is recommended."""
    if isinstance(comparison.fitted, str):
        return {}
    found: Evidence = {"temperature": comparison.temperature}
    if scaled is not None:
        found["gain_from_temperature_scaling"] = scaled.gain.estimate
        found["gain_from_temperature_scaling_ci"] = [scaled.gain.low, scaled.gain.high]
    return found


def _flag(comparison: "Comparison", found: Harms, scaled: "Scaling", limits: "Limits", *, unsteady: bool) -> list[str]:
    """What is wrong and by how much, how we know, what to do, and what remains open."""
    raw, error, left = found.raw.contrast, found.error.contrast, found.scaled.contrast
    sentences = [
        f"Validation log-loss is {raw.estimate:.3f} nats higher ({interval(raw.low, raw.high, limits.confidence)}) at the saved "
        f"epoch {comparison.saved} than at {comparison.against()}; the error rate differs by {change(error.estimate)} "
        f"({points_interval(error.low, error.high, limits.confidence)}).",
        f"Measured by cross-fitting on {len(comparison.half)} validation images.",
        f"{_fix(unsteady)} {scaled.fix(limits.confidence)}",
    ]
    if scaled.unfitted:
        return sentences
    if not found.scaled.excluded:
        sentences.append(
            f"Whether the loss increase that remains after temperature scaling, {left.estimate:.3f} nats "
            f"({interval(left.low, left.high, limits.confidence)}), matters is inconclusive."
        )
    elif found.overtrained_status(limits.alpha) == "inconclusive":
        sentences.append("Whether the error rate increased is inconclusive.")
    return sentences


def _fix(unsteady: bool) -> str:
    """How the sentence about temperature scaling begins."""
    return f"{SEEN} Fix: {LOWER_RATE}. For this model:" if unsteady else "Fix:"


def _remedy(scaled: "Scaling", *, unsteady: bool) -> Remedy:
    remedy = scaled.remedy()
    if not unsteady:
        return remedy
    return remedy.model_copy(
        update={
            "action": f"{LOWER_RATE.capitalize()}. For this model: {remedy.action[0].lower()}{remedy.action[1:]}",
            "source": f"{SOURCE} The gain is that of temperature scaling. {remedy.source}" if scaled.promised else SOURCE,
        }
    )
