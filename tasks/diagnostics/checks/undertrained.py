"""Was training stopped while the validation loss still fell?"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import interval, level

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.comparisons import Contrast

VERDICT = "undertrained"
# Before the check underfit: a model that still improves is trained on before it is made larger.
PRECEDENCE = 31
REQUIRED = False
SMALLEST = 8  # validation images; with fewer, a standard error means nothing
QUESTION = Question(
    code="undertrained",
    title="Stopped too early",
    definition="Validation log-loss still falls so fast at the end of training that twice as many epochs would lower it further by an "
    "amount that matters.",
    estimand="expected log-loss halfway through training minus that at its end, on validation images, in nats",
    method="Paired difference on the validation images with an interval by Student's t, corrected for skewness (Hall 1992).",
    unit="nats",
)


class Settings(Section):
    # The fall over the second half of training that is flagged, in units of diagnose.harm_nats. A loss a + b / epoch^c with c of at
    # most 1 falls by at least half as much when the number of epochs is doubled once more.
    least_fall: float = Field(gt=0, default=2)
    # The share of that fall that belongs to the last quarter of training: a half where the loss falls in a straight line, a third for
    # a + b / epoch. With less the curve flattens too soon for twice the epochs to matter.
    least_late: float = Field(gt=0, lt=1, default=0.25)


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag when the fall of validation loss from epoch E / 2 to the last epoch E is shown to be at least `least_fall` x `harm_nats`.

    At least `least_late` of it must be shown to belong to the last quarter, so that a curve which reached its plateau passes. Of 90
    runs under a constant rate, 40 of the 44 whose test loss gained 0.05 nats or more from doubling were flagged, 2 of the 7 that
    gained half as much or more, and none of the 39 others; `least_late` was chosen on these runs. No gain is promised: a curve need
    not go on as it did. Curves of losses are power laws over long stretches (Hestness et al. 2017, section 4). Costs a few
    milliseconds.

    A pass needs a fall over the last quarter that is shown to be below half of `harm_nats` (of a loss a + b / epoch, doubling gains
    1.5 times that fall), or a curve that is shown to flatten. What lies between is inconclusive.

    A rate that falls towards the end makes the loss fall first and stand still then, however much longer training with the same
    schedule would gain: the half is judged there, not the quarter, and no pass is given (18 of 61 flagged, none of 24 wrongly).
    """
    from tasks.statistics.comparisons import detectable_above, mean_difference

    losses, images, epochs = measured.val_epochs.loss, len(measured.val.labels), len(measured.rates)
    if images < SMALLEST or epochs < 2:
        return QUESTION.not_run(
            f"Whether the loss still falls needs two epochs and {SMALLEST} validation images; there are {epochs} "
            f"epoch{'s' if epochs != 1 else ''} and {images} images. Raise train.epochs or preprocess.val_fraction.",
            images,
        )
    half, quarter = epochs // 2, (3 * epochs) // 4  # epochs, from 1
    fall = mean_difference(losses[half - 1] - losses[-1], limits.confidence)
    late = mean_difference(losses[quarter - 1] - losses[-1], limits.confidence)
    least = settings.least_fall * limits.harm_nats
    least_late = settings.least_late * fall.estimate
    annealed = bool(2 * measured.rates[-1] < measured.rates.max())
    mde = detectable_above(least, fall.error, limits.confidence, limits.power)
    status: Status = "inconclusive"
    if fall.low >= least and (annealed or late.low >= least_late):
        status = "flag"
    elif annealed:
        return QUESTION.not_run(
            f"The learning rate fell to {measured.rates[-1]:.3g} by the end, from {measured.rates.max():.3g}, so that the last epochs "
            "do not show whether longer training would help. Try twice as many epochs (train.epochs).",
            images,
        )
    elif 2 * late.high < limits.harm_nats or late.high < least_late:
        status = "pass"
    return QUESTION.answer(
        status,
        _summary(status, fall, measured, limits, least=least, mde=mde),
        images,
        Estimate(fall.estimate, fall.low, fall.high, fall.p_value, mde=mde),
        evidence={
            "from_epoch": half,
            "to_epoch": epochs,
            "fall_over_the_last_quarter": late.estimate,
            "fall_over_the_last_quarter_ci": [late.low, late.high],
            "smallest_fall_that_is_flagged": least,
        },
        remedy=_remedy(epochs) if status == "flag" else None,
        by_exclusion=status == "pass" and mde > least,
    )


def _summary(status: Status, fall: "Contrast", measured: "Measured", limits: "Limits", *, least: float, mde: float) -> str:
    """In words; from a fall of `least` on a run is flagged, and one of `mde` is flagged with the stated power."""
    epochs, images = len(measured.rates), f"{len(measured.val.labels)} validation images"
    way, low, high = ("fell", fall.low, fall.high) if fall.estimate >= 0 else ("rose", -fall.high, -fall.low)
    seen = (
        f"from epoch {epochs // 2} to the last epoch {epochs}, log-loss {way} by {abs(fall.estimate):.3f} nats "
        f"({interval(low, high, limits.confidence)})"
    )
    if status == "flag":
        return (
            f"Training ended while the loss still fell: on {images}, {seen}; {least:g} nats or more are flagged. How much more epochs "
            f"gain is not known before they are tried. Fix: {_action(epochs)}"
        )
    if status == "inconclusive":
        return (
            f"It is inconclusive whether more epochs would help: on {images}, {seen}. That is not shown to reach {least:g} nats, from "
            f"which on it would be flagged (with a power of {level(limits.power)} from {mde:.3f} nats on), nor is the loss shown to "
            f"stand still. Try more epochs (train.epochs: {2 * epochs}), or use a larger "
            "validation set (preprocess.val_fraction)."
        )
    if fall.estimate < least:
        return f"Training did not end too early: on {images}, {seen}; {least:g} nats would be flagged."
    return f"Training did not end too early: on {images}, {seen}, but hardly over the last quarter."


def _action(epochs: int) -> str:
    return f"train for twice as many epochs (train.epochs: {2 * epochs}), or raise train.optimizer.learning_rate."


def _remedy(epochs: int) -> Remedy:
    action = _action(epochs)
    return Remedy(
        action=action[0].upper() + action[1:],
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="The validation loss of the epochs. How far it falls on is not known before it is tried.",
    )
