"""Can someone tell from the model's losses which images it was trained on?"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import level, percent, percent_interval, points

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.comparisons import Contrast

VERDICT = "privacy_leak"
PRECEDENCE = 94
REQUIRED = False
CURVE_POINTS = 50  # of the ROC curve that the report draws
QUESTION = Question(
    code="membership",
    title="Membership inference",
    definition="An attacker who knows an image, its label and the model's answer guesses from the loss whether the image was in the "
    "training data (loss-threshold attack). That works where the model memorised its training data.",
    estimand="probability that a training image has a lower loss than a test image (area under the ROC curve of the attack); 50 % is "
    "guessing",
    method="Area under the ROC curve with DeLong's interval; advantage of a threshold at the mean training loss (Yeom et al. 2018) "
    "with Newcombe's interval, which is for this very threshold.",
    unit="fraction",
)


class Settings(Section):
    # Flagged where the whole interval lies above: of a training and another image, the attacker then picks the right one in more than
    # 6 of 10 cases instead of 5. Models that were stopped early stayed below it (0.52 to 0.56), memorising ones above (0.63 to 0.89).
    smallest_area: float = Field(gt=0.5, lt=1, default=0.6)


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag when the interval of the area lies above `smallest_area`; pass when below; else inconclusive.

    The attack of Yeom et al. 2018 (Adversary 2) calls an image a member where its loss is at most the mean training loss. Its
    advantage is the share of members minus the share of others that it calls so; with the 0/1 loss this is the accuracy gap. Stronger
    attacks exist (Carlini et al. 2022 train many models), so that a pass is no promise of privacy. Where test is drawn otherwise than
    train, a difference in difficulty looks like membership. Cost: sorting the losses.
    """
    import numpy as np

    from tasks.statistics.calibration import log_losses
    from tasks.statistics.comparisons import detectable_above
    from tasks.statistics.intervals import newcombe
    from tasks.statistics.membership import caught, lower_probability, roc

    labels = measured.train.labels[measured.train_index]
    members, others = log_losses(measured.train_logits, labels), log_losses(measured.test_logits, measured.test.labels)
    m, n = len(members), len(others)
    if min(m, n) < 2:
        return QUESTION.not_run(f"Two images are needed on each side; there are {m} recorded training and {n} test images.", n)
    if not (np.isfinite(members).all() and np.isfinite(others).all()):
        return QUESTION.not_run("The saved weights give losses that are not finite.", n)
    area = lower_probability(members, others, limits.confidence)
    hits, false_hits = caught(members, others, float(members.mean()))
    advantage, between = hits / m - false_hits / n, newcombe(false_hits, n, hits, m, limits.confidence)
    false_rates, true_rates = roc(members, others, CURVE_POINTS)
    wrong = measured.train_logits.argmax(-1) != labels, measured.test_logits.argmax(-1) != measured.test.labels
    right, test_right = caught(wrong[0].astype(np.float64), wrong[1].astype(np.float64), 0.0)
    least = detectable_above(settings.smallest_area, area.error, limits.confidence, limits.power)
    mde = least - 0.5  # as an advantage over guessing
    status = _status(area, settings)
    return QUESTION.answer(
        status,
        _summary(status, area, advantage, least, images=f"{m} training and {n} test images", limits=limits, settings=settings),
        n,
        Estimate(area.estimate, area.low, area.high, p_value=area.p_value, mde=mde, reference=settings.smallest_area),
        evidence={
            "recorded_train_images": m,
            "threshold_at_mean_train_loss": float(members.mean()),
            "advantage": advantage,
            "advantage_ci": list(between),
            "advantage_of_the_0_1_loss": right / m - test_right / n,
            "smallest_area_that_matters": settings.smallest_area,
            "roc_false_positive_rates": false_rates.tolist(),
            "roc_true_positive_rates": true_rates.tolist(),
        },
        remedy=_remedy() if status == "flag" else None,
        by_exclusion=status == "pass" and least > settings.smallest_area,
    )


def _status(area: "Contrast", settings: Settings) -> Status:
    if area.low > settings.smallest_area:
        return "flag"
    return "pass" if area.high < settings.smallest_area else "inconclusive"


def _summary(
    status: Status, area: "Contrast", advantage: float, least: float, *, images: str, limits: "Limits", settings: Settings
) -> str:
    """In words; `least` is the smallest area that would be flagged with the stated power."""
    guess = percent(settings.smallest_area)
    measure = (
        f"in {percent(area.estimate)} ({percent_interval(area.low, area.high, limits.confidence)}) of the pairs of a training and a "
        "test image, the training image has the lower loss"
    )
    if status == "flag":
        return (
            f"The losses give away which images were in the training data: on {images}, {measure}, where guessing gives 50 %; a "
            f"threshold at the mean training loss has an advantage of {points(advantage)}. Fix: weight decay, augmentation or early "
            "stopping; before the model or its losses are published, training with differential privacy."
        )
    if status == "pass":
        return (
            f"The loss-threshold attack gains less than what matters ({guess}): on {images}, {measure}. Stronger attacks were not "
            "tried."
        )
    return (
        f"{images} do not show whether the loss-threshold attack reaches {guess}: {measure}. {percent(least)} is the smallest that "
        f"would be flagged with a power of {level(limits.power)}. Use a larger test set."
    )


def _remedy() -> Remedy:
    return Remedy(
        action="Weight decay, augmentation or early stopping; for a guarantee, training with differential privacy.",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="literature",
        source="Membership advantage grows with the generalization gap (Yeom et al. 2018, Theorem 2).",
    )
