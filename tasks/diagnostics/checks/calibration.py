"""Do the predicted probabilities match how often the predictions are right?"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Finding, Status
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.scaling import ESTIMAND, METHOD
from tasks.diagnostics.words import interval, percent, percent_interval

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.diagnostics.scaling import Scaling
    from tasks.statistics.arrays import Bools, Floats
    from tasks.statistics.comparisons import Contrast

VERDICT = "miscalibrated"
PRECEDENCE = 85
REQUIRED = False
RESAMPLES = 1000  # of the bootstrap; its own error is then about 1 % of the width of the interval
QUESTION = Question(
    code="calibration",
    title="Confidence against accuracy",
    definition="Probabilities of the saved epoch that are too high (overconfident) or too low (underconfident) for its accuracy, so "
    "that temperature scaling (dividing all logits by one number) lowers the log-loss.",
    estimand=ESTIMAND,
    method=f"{METHOD} The expected calibration error (ECE, Guo et al. 2017) is biased upwards; its bootstrap interval is for the ECE "
    "of the same bins on new images, and allows for the bias and for a sample with few mistakes.",
    unit="nats",
)


class Settings(Section):
    bins: int = Field(ge=2, le=100, default=15)  # of the ECE, equally wide, as in Guo et al. 2017


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag when a temperature is shown to lower the log-loss (one-sided, at alpha) by what may be `harm_nats` or more; pass when the
    interval ends below that; else inconclusive.

    The temperature T of Guo et al. 2017 (section 4.2) is above 1 for an overconfident model and below 1 for an underconfident one. Its
    gain is estimated by fitting T on one half of the validation images and scoring it on the other, so the fit does not flatter it.
    The ECE is only described: it is biased upwards, and a calibrated model's is above zero too. Its interval allows for that
    (`tasks.statistics.calibration.calibration_error_interval`), and begins at zero where chance explains the whole.

    What this does not see: single classes that are miscalibrated in opposite directions, which no single temperature corrects.
    Unlike `overconfident`, it compares the saved epoch with its own accuracy and with no other epoch.

    Cost: three fits of T, two bootstraps and as many calibrated samples; 0.6 s for 12,000 validation images.
    """
    import numpy as np

    from tasks.diagnostics.crossfit import SMALLEST
    from tasks.diagnostics.scaling import scaling
    from tasks.statistics.calibration import log_probabilities
    from tasks.statistics.comparisons import detectable

    logits, n = measured.val_logits, len(measured.val.labels)
    if n < SMALLEST:
        return QUESTION.not_run(
            f"The validation set has {n} images; calibration needs {SMALLEST} or more. Raise preprocess.val_fraction.", n
        )
    if not np.isfinite(logits).all():
        return QUESTION.not_run(
            "The saved weights answer with numbers that are not finite, which temperature scaling cannot fix.", n
        )
    found, saved = scaling(measured, limits.confidence)
    gain = found.gain
    mde = detectable(gain.error, limits.alpha, limits.power)
    confidences = np.exp(log_probabilities(logits).max(axis=1))
    error, error_interval = _calibration_error(confidences, saved.correct, settings.bins, measured.seed, limits.confidence)
    status = _status(gain, limits)
    confidence, accuracy = float(confidences.mean()), float(saved.correct.mean())
    described = (
        f"mean confidence is {percent(confidence)} and accuracy {percent(accuracy)}, with an ECE of {percent(error)} "
        f"({percent_interval(*error_interval, limits.confidence)})"
    )
    return QUESTION.answer(
        status,
        _summary(status, found, mde, described, n=n, limits=limits),
        n,
        None
        if found.unfitted
        else Estimate(gain.estimate, gain.low, gain.high, p_value=gain.p_value, mde=mde, reference=limits.harm_nats),
        evidence={
            **({} if found.unfitted else {"temperature": found.temperature}),
            "mean_confidence": confidence,
            "accuracy": accuracy,
            "expected_calibration_error": error,
            "expected_calibration_error_ci": list(error_interval),
            "bins_of_calibration_error": settings.bins,
            "smallest_gain_that_matters": limits.harm_nats,
        },
        remedy=found.remedy() if status == "flag" else None,
        by_exclusion=status == "pass" and mde > limits.harm_nats,
    )


def _status(gain: "Contrast", limits: "Limits") -> Status:
    """Pass only where the interval excludes a gain that matters: most of it comes from a few mistakes, which a sample may lack."""
    if gain.high < limits.harm_nats:
        return "pass"
    return "flag" if gain.p_value <= limits.alpha else "inconclusive"


def _summary(status: Status, found: "Scaling", mde: float, described: str, *, n: int, limits: "Limits") -> str:
    """In words; `mde` is the smallest gain that is detectable."""
    gain = found.gain
    lower = f"{gain.estimate:.3f} nats ({interval(gain.low, gain.high, limits.confidence)})"
    images = f"{n} validation images"
    if status == "flag":
        direction = "overconfident" if found.temperature > 1 else "underconfident"
        lowers = "" if found.unfitted else f" Temperature scaling lowers the log-loss by {lower}, by cross-fitting."
        fix = found.unfitted or f"Fix: temperature scaling with T = {found.temperature:.2f}."
        return f"The probabilities are {direction}: on {images}, {described}.{lowers} {fix}"
    if status == "pass":
        return f"No temperature is shown to lower the log-loss by an amount that matters: by {lower} on {images}, where {described}."
    return (
        f"{images} are too few to show whether a temperature lowers log-loss by {limits.harm_nats:g} nats (by {lower}; smallest "
        f"detectable: {mde:.3f} nats): {described}. Use a larger validation set (preprocess.val_fraction)."
    )


def _calibration_error(
    confidences: "Floats", correct: "Bools", bins: int, seed: int, confidence: float
) -> tuple[float, tuple[float, float]]:
    """The ECE and its interval."""
    from tasks.statistics.calibration import calibration, calibration_error, calibration_error_interval
    from tasks.statistics.random import CALIBRATION, generator

    random = generator(seed, CALIBRATION)
    between = calibration_error_interval(confidences, correct, bins, confidence=confidence, resamples=RESAMPLES, random=random)
    return calibration_error(calibration(confidences, correct, bins)), between
