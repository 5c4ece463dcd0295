"""Did the model memorise its training images, and nothing that generalises to others?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import level, percent, percent_interval, points

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.arrays import Bools
    from tasks.statistics.comparisons import Contrast

VERDICT = "memorised"
PRECEDENCE = 28
REQUIRED = False
QUESTION = Question(
    code="memorised",
    title="Memorised training labels (overfitting)",
    definition="The model recognises its training images well above the majority class, and hardly any better than that class those "
    "that it has not seen. What it learned is the label of each training image, and no rule.",
    estimand="accuracy minus that of the majority class, on images that the model has not seen (validation and test)",
    method="Exact one-sided McNemar test against the majority class on validation and test images together; score limits of Tango "
    "(1998) for the advantage there and on the recorded training images.",
    unit="fraction",
)


class Settings(Section):
    """Both are shares of images by which an accuracy exceeds that of the majority class."""

    # The training images must be fitted by so much: a linear model guesses some labels by chance where images are few.
    least_fit: float = Field(gt=0, lt=1, default=0.2)
    # At most this part of the advantage on training images may carry over; ordinary overfitting keeps most of it.
    most_carried: float = Field(gt=0, lt=1, default=0.2)
    # An advantage on unseen images that is shown, but lies below this part, is as good as none: with labels drawn at random, chance
    # shows one in alpha of the runs.
    negligible: float = Field(ge=0, lt=1, default=0.05)


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag when the training images are fitted and nothing of that carries over.

    Fitted: the advantage over the majority class on training images is shown to be at least `least_fit`. Nothing carries over: on
    validation and test its upper limit is below `most_carried` of that on training images, and it is not shown to be above zero, or its
    upper limit is below `negligible` of that on training images. All limits are one-sided, at alpha.

    A high training accuracy alone shows nothing: networks fit labels that were drawn at random (Zhang et al. 2017, section 2), and
    good ones fit true labels as closely. Costs a few milliseconds.
    """
    import numpy as np

    from tasks.statistics.comparisons import detectable

    majority = int(np.bincount(measured.train.labels).argmax())
    train_labels = measured.train.labels[measured.train_index]
    labels = np.concatenate([measured.val.labels, measured.test.labels])
    train_wrong = measured.train_logits.argmax(-1) != train_labels
    wrong = np.concatenate([measured.val_logits.argmax(-1), measured.test_logits.argmax(-1)]) != labels
    if not len(train_wrong) or not len(labels):
        return QUESTION.not_run(
            f"Memorisation shows on recorded training images and on unseen ones; there are {len(train_wrong)} and {len(labels)}.",
            len(labels),
        )
    seen = _seen((train_labels != majority, train_wrong), (labels != majority, wrong), limits)
    status, carried = _status(seen, limits, settings), seen.carried
    return QUESTION.answer(
        status,
        _summary(status, seen, limits, settings),
        seen.images,
        Estimate(
            carried.estimate,
            carried.low,
            carried.high,
            p_value=carried.p_value,
            mde=detectable(carried.error, limits.alpha, limits.power),
        ),
        evidence={
            "train_accuracy": seen.train,
            "accuracy_on_validation_and_test": seen.unseen,
            "majority_class_baseline": seen.majority,
            "advantage_on_train": seen.fit,
            "limits_of_advantage_on_train": [seen.fit_low, seen.fit_high],
            "upper_limit_of_advantage_on_validation_and_test": seen.at_most,
        },
        remedy=_remedy() if status == "flag" else None,
    )


@dataclass(frozen=True)
class Seen:
    """Accuracies on training images and on unseen ones, and the advantage over the majority class on either; limits are one-sided."""

    train: float
    unseen: float
    majority: float  # on the unseen images
    train_images: int
    images: int
    fit: float  # the advantage on training images
    fit_low: float
    fit_high: float
    carried: "Contrast"  # the advantage on unseen images
    at_most: float

    def fitted(self, settings: Settings) -> bool:
        """Whether it is possible that the training images are fitted."""
        return self.fit_high >= settings.least_fit


def _seen(train: "tuple[Bools, Bools]", unseen: "tuple[Bools, Bools]", limits: "Limits") -> Seen:
    """Of training and of unseen images: which the majority class gets wrong, and which the model."""
    from tasks.statistics.comparisons import paired_errors, paired_interval

    one_sided = 1 - 2 * limits.alpha  # the level of a two-sided interval with alpha on each side
    (train_others, train_wrong), (others, wrong) = train, unseen
    fit_low, fit_high = paired_interval(train_others, train_wrong, one_sided)
    return Seen(
        train=float(1 - train_wrong.mean()),
        unseen=float(1 - wrong.mean()),
        majority=float(1 - others.mean()),
        train_images=len(train_wrong),
        images=len(wrong),
        fit=float((~train_wrong).mean() - (~train_others).mean()),
        fit_low=fit_low,
        fit_high=fit_high,
        carried=paired_errors(others, wrong, limits.confidence),
        at_most=paired_interval(others, wrong, one_sided)[1],
    )


def _status(seen: Seen, limits: "Limits", settings: Settings) -> Status:
    shown = seen.carried.p_value <= limits.alpha and seen.at_most >= settings.negligible * seen.fit
    if shown or not seen.fitted(settings):
        return "pass"
    if seen.fit_low >= settings.least_fit and seen.at_most < settings.most_carried * seen.fit:
        return "flag"
    return "inconclusive"


def _summary(status: Status, seen: Seen, limits: "Limits", settings: Settings) -> str:
    from tasks.statistics.intervals import wilson

    def known(accuracy: float, n: int) -> str:
        low, high = wilson(round(accuracy * n), n, limits.confidence)
        return f"{percent(accuracy)} ({percent_interval(low, high, limits.confidence)})"

    train = f"accuracy on {seen.train_images} training images is {known(seen.train, seen.train_images)}"
    unseen = f"{known(seen.unseen, seen.images)} on {seen.images} validation and test images (majority class: {percent(seen.majority)})"
    bound = f"the advantage is at most {points(max(0.0, seen.at_most))} (one-sided {level(1 - limits.alpha)} limit)"
    if status == "flag":
        return f"The model memorised its training images and does not generalise (overfitting): {train}, but {unseen}; {bound}. {FIX}"
    if status == "inconclusive":
        return (
            f"{seen.images} validation and test images are too few to show whether anything carries over: {train}, and {unseen}; "
            f"{bound}. Use a larger validation or test set."
        )
    if not seen.fitted(settings):
        return f"The training images are not memorised: {train}."
    return f"What was learned carries over to unseen images: {train}, and {unseen}."


FIX = "Fix: check that the labels belong to the images in every split, and that the labels can be told from the images at all."


def _remedy() -> Remedy:
    return Remedy(
        action="Check that labels belong to their images in every split, and that the images show what the labels say.",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="Accuracies of the saved weights on train, validation and test.",
    )
