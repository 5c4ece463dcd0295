"""Are there enough test images of each class to say anything about it, and does the accuracy hide a rare class?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Evidence, Finding, Remedy
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import percent, percent_interval, points

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.arrays import Bools, Floats, Ints

SPELLED = 3  # classes that the summary names; the evidence has all of them
VERDICT = "too_few_examples"
PRECEDENCE = 96
REQUIRED = False
QUESTION = Question(
    code="support",
    title="Test images of each class",
    definition="Classes with so few test images that the recall (the share of the class that the model recognises) is unknown, and "
    "test sets of which most images belong to one class, so that the accuracy says little about the others.",
    estimand="balanced accuracy: the mean recall of the classes that are in test",
    method="Wilson interval of each recall; the interval of their mean by the method of variance estimates recovery (Zou & Donner "
    "2008); always predicting the most frequent class has a balanced accuracy of one divided by the number of classes.",
    unit="fraction",
    reference="always predicting one class",
)


class Settings(Section):
    # The widest interval of a recall that says something: 0.3 lets a recall of 0.85 be told from 0.7 and from 1.
    widest: float = Field(gt=0, lt=1, default=0.3)
    # From this share of one class on, always predicting that class looks like a good accuracy.
    imbalance: float = Field(gt=0.5, lt=1, default=0.9)


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Judge the test set, not the model: can it answer how well each class is recognised?

    The balanced accuracy Σ r_k / K (Brodersen et al. 2010) has the limits Σ r_k / K -+ sqrt(Σ (r_k - limit_k)²) / K, which recover each
    recall's variance from its Wilson interval (Zou & Donner 2008, Statistics in Medicine 27, equation 6); the recalls of
    different classes are independent.

    flag: the interval of a class's recall is wider than `widest`, or the class has no test image; or one class has a share of at
    least `imbalance` of test, and the balanced accuracy is not shown to exceed that of always predicting one class by
    `harm_accuracy`. The flag says that the data are too few: there is no inconclusive answer. Classes without training images are
    in the evidence.

    Cost: none to speak of.
    """
    n = len(measured.test.labels)
    found = recalls(measured, limits.confidence)
    unknown = found.high - found.low > settings.widest
    imbalanced = found.counts.max() >= settings.imbalance * n
    hidden = bool(imbalanced and found.balanced_low < found.naive + limits.harm_accuracy)
    flagged = bool(unknown.any()) or hidden
    known = " ".join(_sentences(found, unknown, limits, hidden=hidden))
    return QUESTION.answer(
        "flag" if flagged else "pass",
        f"{known} Fix: add test images of the rare classes." if flagged else _pass(found, settings, limits),
        n,
        Estimate(found.balanced, found.balanced_low, found.balanced_high, reference=found.naive),
        evidence=_evidence(found, unknown, measured, settings),
        remedy=_remedy(found, unknown, settings, limits) if flagged else None,
        note=known,
    )


@dataclass(frozen=True, eq=False)
class Recalls:
    """Number of test images, recall and its interval of each class (K,); of a class without images, the interval is 0 to 1."""

    counts: "Ints"
    correct: "Ints"
    low: "Floats"
    high: "Floats"
    balanced: float
    balanced_low: float
    balanced_high: float
    naive: float  # balanced accuracy of always predicting one class


def recalls(measured: "Measured", confidence: float) -> Recalls:
    """Each class's recall on test, and their mean."""
    import numpy as np

    from tasks.statistics.intervals import wilson

    labels, classes = measured.test.labels, measured.test_logits.shape[1]
    right = measured.test_logits.argmax(-1) == labels
    counts, correct = np.bincount(labels, minlength=classes), np.bincount(labels[right], minlength=classes)
    bounds = [wilson(int(k), int(m), confidence) if m else (0.0, 1.0) for k, m in zip(correct, counts, strict=True)]
    low, high = np.array(bounds).T
    there = counts > 0
    recall, number = correct[there] / counts[there], int(there.sum())
    balanced = float(recall.mean())
    below, above = (float(np.sqrt(((recall - limit[there]) ** 2).sum())) / number for limit in (low, high))
    return Recalls(counts, correct, low, high, balanced, balanced - below, balanced + above, 1 / number)


def _sentences(found: Recalls, unknown: "Bools", limits: "Limits", *, hidden: bool) -> list[str]:
    """What is unknown, and why."""
    import numpy as np

    sentences = []
    if unknown.any():
        rarest = sorted(np.flatnonzero(unknown).tolist(), key=lambda k: int(found.counts[k]))
        named = "; ".join(
            f"the recall of class {k} is unknown: {_images(int(found.counts[k]))} "
            f"({percent_interval(found.low[k], found.high[k], limits.confidence)})"
            for k in rarest[:SPELLED]
        )
        others = len(rarest) - SPELLED
        more = f"; and that of {others} more {'class' if others == 1 else 'classes'}" if others > 0 else ""
        sentences.append(f"{named[0].upper()}{named[1:]}{more}.")
    if hidden:
        accuracy, share = (float(part / found.counts.sum()) for part in (found.correct.sum(), found.counts.max()))
        sentences.append(
            f"Test accuracy of {percent(accuracy)} says little, as {percent(share)} of the test images are of class "
            f"{found.counts.argmax()}: balanced accuracy is {_balanced(found, limits)}, not shown to be meaningfully better than the "
            f"{percent(found.naive)} of always predicting that class."
        )
    return sentences


def _images(count: int) -> str:
    return f"{count} test image" if count == 1 else f"{count} test images"


def _balanced(found: Recalls, limits: "Limits") -> str:
    return f"{percent(found.balanced)} ({percent_interval(found.balanced_low, found.balanced_high, limits.confidence)})"


def _pass(found: Recalls, settings: Settings, limits: "Limits") -> str:
    return (
        f"Each class has {found.counts.min()} test images or more, so that the interval of its recall spans at most "
        f"{points(settings.widest)}; balanced accuracy is {_balanced(found, limits)}."
    )


def _evidence(found: Recalls, unknown: "Bools", measured: "Measured", settings: Settings) -> Evidence:
    import numpy as np

    trained = np.bincount(measured.train.labels, minlength=len(found.counts))
    share = np.divide(found.correct, found.counts, out=np.zeros(len(found.counts)), where=found.counts > 0)
    return {
        "classes_with_unknown_recall": np.flatnonzero(unknown).tolist(),
        "classes_without_training_images": np.flatnonzero(trained == 0).tolist(),
        "test_images_of_each_class": found.counts.tolist(),
        "recall_of_each_class": share.tolist(),
        "recall_low_of_each_class": found.low.tolist(),
        "recall_high_of_each_class": found.high.tolist(),
        "widest_interval_that_says_something": settings.widest,
        "accuracy": float(found.correct.sum() / found.counts.sum()),
        "share_of_the_most_frequent_class": float(found.counts.max() / found.counts.sum()),
        "balanced_accuracy_of_one_class": found.naive,
    }


def needed(widest: float, confidence: float) -> int:
    """How many images make the Wilson interval at most `widest` wide, whatever the recall: z² (1 / w² - 1), that of one half."""
    import math

    from tasks.statistics.intervals import quantile

    return math.ceil(quantile((1 + confidence) / 2) ** 2 * (1 / widest**2 - 1))


def _remedy(found: Recalls, unknown: "Bools", settings: Settings, limits: "Limits") -> Remedy:
    enough = needed(settings.widest, limits.confidence)
    rare = "each rare class" if not unknown.any() else "each class whose recall is unknown"
    return Remedy(
        action=f"Add test images of {rare}: {enough} of a class are enough, whatever its recall "
        "(a larger preprocess.test_fraction, or more data).",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="The number of test images of each class; the width of the Wilson interval at that number (Wilson 1927).",
    )
