"""Are labels wrong, so that the accuracy on test is lower than that of the model?"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Evidence, Finding, Remedy, Status
from tasks.core.settings import Fraction, Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import level, percent, percent_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.contracts.splits import SplitName
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.arrays import Ints
    from tasks.statistics.label_noise import WrongLabels

VERDICT = "label_noise"
PRECEDENCE = 50
REQUIRED = False
QUESTION = Question(
    code="label_noise",
    title="Wrong labels",
    definition="Labels that have nothing to do with what the model sees in the image, as mistaken labels have. The accuracy that is "
    "measured with them is lower than that of the model.",
    estimand="share of the validation and test labels that were replaced by another class at random",
    method="Maximum likelihood of the share of wrong labels together with a temperature (symmetric noise: Patrini et al. 2017), with a "
    "profile-likelihood interval. Candidates: area under the margin (Pleiss et al. 2020) on train, margin of the logits on test.",
    unit="fraction",
)


class Settings(Section):
    # Flagged where the whole interval lies above. On clean MNIST and Fashion-MNIST the estimate reaches 1 %: a few honest errors are
    # made with great confidence, and cannot be told from wrong labels by the answers of one model.
    smallest_share: Fraction = 0.02
    candidates: int = Field(ge=1, le=1000, default=20)  # the evidence lists so many rows of train and of test


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag when the interval of the share of wrong labels lies above `smallest_share`; pass when below; else inconclusive.

    Errors of a hard problem look like wrong labels one by one, but not together: the model is unsure where they happen, and their
    label is a class that it finds plausible. Wrong labels also happen where it is sure, and are any class. What the two parameters
    of `tasks.statistics.label_noise.wrong_labels` estimate is that difference, on validation and test, which the model was not
    trained on (an epoch that was chosen on validation biases it only slightly).

    What this does not see: labels that are wrong on train alone, and wrong labels that always name one other class: of 10 % such, the
    estimate was 1.5 %. An image that the model answers confidently although nothing can be recognised in it counts as a wrong label.
    The number of candidates is not an error rate: confident learning (Northcutt et al. 2021) lists 44 % of the test rows of an
    overtrained model on clean but hard data, of which none is wrong.

    Cost: about 400 passes over the held-out logits; 0.4 s for 22,000 images of ten classes.
    """
    import numpy as np

    from tasks.statistics.calibration import fit_temperature, unfitted
    from tasks.statistics.label_noise import wrong_labels

    logits = np.concatenate([measured.val_logits, measured.test_logits])
    labels = np.concatenate([measured.val.labels, measured.test.labels])
    unable = _unable(logits, labels, limits)
    if unable is not None:
        return unable
    found = wrong_labels(logits, labels, limits.confidence)
    # Both fits: with logits beyond every temperature, the joint one calls all of their errors wrong labels.
    reason = unfitted(fit_temperature(logits, labels)) or unfitted(found.temperature)
    if reason is not None:
        return QUESTION.answer("inconclusive", f"Wrong labels cannot be told from badly scaled logits. {reason}", len(labels))
    status, mde = _status(found, settings), _detectable(found, settings, limits)
    hits = measured.test_logits.argmax(-1) == measured.test.labels
    accuracy, right, between = _on_right_labels(int(hits.sum()), len(hits), found, logits.shape[1], limits)
    return QUESTION.answer(
        status,
        _summary(status, found, len(labels), (accuracy, right), matters=settings.smallest_share, mde=mde, limits=limits),
        len(labels),
        Estimate(found.share, found.low, found.high, p_value=found.p_value, mde=mde, reference=settings.smallest_share),
        evidence={
            "temperature_fitted_jointly": found.temperature,
            "test_accuracy": accuracy,
            "test_accuracy_if_labels_were_right": right,
            "test_accuracy_if_labels_were_right_ci": list(between),
            "smallest_share_that_matters": settings.smallest_share,
            "row_numbers": measured.row_numbers,
            **_candidates(measured, "train", settings.candidates),
            **_candidates(measured, "test", settings.candidates),
        },
        remedy=_remedy() if status == "flag" else None,
        by_exclusion=status == "pass" and mde > settings.smallest_share,
    )


def _unable(logits: "NDArray[np.float32]", labels: "Ints", limits: "Limits") -> Finding | None:
    """What is said of a model whose answers (N, K) say nothing about labels (N,)."""
    import numpy as np

    from tasks.statistics.intervals import wilson

    if not np.isfinite(logits).all():
        return QUESTION.not_run(
            "The saved weights answer with numbers that are not finite, so labels cannot be judged.", len(labels)
        )
    correct, majority = int((logits.argmax(-1) == labels).sum()), int(np.bincount(labels).max())
    if wilson(correct, len(labels), limits.confidence)[0] > majority / len(labels):
        return None
    return QUESTION.answer(
        "inconclusive",
        f"The model is not shown to be better than the majority-class baseline on {len(labels)} validation and test images, so "
        "that its answers say nothing about labels. Train a model that learns first.",
        len(labels),
    )


def _status(found: "WrongLabels", settings: Settings) -> Status:
    if found.low > settings.smallest_share:
        return "flag"
    return "pass" if found.high < settings.smallest_share else "inconclusive"


def _on_right_labels(
    correct: int, n: int, found: "WrongLabels", classes: int, limits: "Limits"
) -> tuple[float, float, tuple[float, float]]:
    """The accuracy on test, what it would be with right labels, and the interval of the latter.

    It moves as far from the estimate as the root of the sum of squares of what each number's own limits do (Zou & Donner 2008). That
    takes the two as independent; wrong labels raise the share and lower the accuracy, so that the interval is rather too wide.
    """
    import numpy as np

    from tasks.statistics.intervals import wilson
    from tasks.statistics.label_noise import accuracy_on_right_labels

    accuracy = correct / n
    right = accuracy_on_right_labels(accuracy, found.share, classes)
    low, high = (
        float(
            np.hypot(
                accuracy_on_right_labels(limit, found.share, classes) - right,
                accuracy_on_right_labels(accuracy, share, classes) - right,
            )
        )
        for limit, share in zip(wilson(correct, n, limits.confidence), (found.low, found.high), strict=True)
    )
    return accuracy, right, (max(0.0, right - low), min(1.0, right + high))


def _summary(
    status: Status,
    found: "WrongLabels",
    n: int,
    accuracies: tuple[float, float],
    *,
    matters: float,
    mde: float,
    limits: "Limits",
) -> str:
    """In words; `accuracies` are that on test, and what it would be with right labels."""
    between = f"{percent(found.share)} ({percent_interval(found.low, found.high, limits.confidence)})"
    images = f"{n} validation and test images"
    if status == "flag":
        return (
            f"{between} of the labels have nothing to do with what the model sees, as mistaken labels have; measured on {images} by "
            f"maximum likelihood, fitted jointly with a temperature. The test accuracy of {percent(accuracies[0])} is a lower bound: "
            f"with right labels it would be about {percent(accuracies[1])}, if the mistakes are random. Fix: look at the candidates in "
            "the evidence and correct their labels; the number of candidates is not an error rate."
        )
    if status == "pass":
        return (
            f"No share of randomly wrong labels that matters was found on {images}: {between}, below {percent(matters)}. Labels that "
            "are wrong on train alone, or that always name a similar class, are not seen."
        )
    return (
        f"{images} do not show whether {percent(matters)} or more of the labels are wrong: {between}; the smallest share that "
        f"would be flagged with a power of {level(limits.power)} is {percent(mde)}. Use larger validation and test sets, or look at "
        "the candidates."
    )


def _detectable(found: "WrongLabels", settings: Settings, limits: "Limits") -> float:
    """The smallest share that is flagged with the stated power, by the width of the interval above the estimate."""
    from tasks.statistics.comparisons import detectable_above
    from tasks.statistics.intervals import quantile

    error = (found.high - found.share) / quantile((1 + limits.confidence) / 2)
    return detectable_above(settings.smallest_share, error, limits.confidence, limits.power)


def _candidates(measured: "Measured", split: "SplitName", count: int) -> Evidence:
    """The most suspicious rows of a split, as columns; none where its records were not given, as in a diagnosis of tables."""
    from tasks.diagnostics.candidates import label_candidates
    from tasks.diagnostics.parts import known

    found = known(lambda: label_candidates(measured, split, count), None)
    if found is None:
        return {}
    margin = "area_under_margin" if split == "train" else "margin"
    return {
        f"{split}_candidate_rows": [candidate.row for candidate in found],
        f"{split}_candidate_given_classes": [candidate.given for candidate in found],
        f"{split}_candidate_suggested_classes": [candidate.suggested for candidate in found],
        f"{split}_candidate_{margin}": [candidate.margin for candidate in found],
    }


def _remedy() -> Remedy:
    return Remedy(
        action="Look at the candidates in the evidence, the most suspicious rows first, and correct or remove their labels.",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="Share of wrong labels on validation and test; what correcting them gains is not in the records.",
    )
