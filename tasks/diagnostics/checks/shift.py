"""Is test drawn as train was: can a classifier tell their images apart, and are the labels as frequent?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Evidence, Finding, Remedy, Status
from tasks.core.settings import Probability, Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import interval, percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.arrays import Floats, Ints

FEWEST = 20  # images of train and of test
TREES = 100
EXPECTED = 5  # rows of a class in test, below which classes are counted together (Cochran 1954)
VERDICT = "shift"
PRECEDENCE = 60
REQUIRED = False
QUESTION = Question(
    code="shift",
    title="Shift between train and test",
    definition="Test images that differ from training images, for example in brightness, contrast, noise or framing, or classes that "
    "are more or less frequent in test. The test accuracy then says nothing about data drawn as train was, and the model was "
    "not trained for data drawn as test is.",
    estimand="probability that a random forest finds a test image more test-like than a training image (AUC); 0.5 if they are drawn "
    "alike",
    method="Classifier two-sample test (Lopez-Paz & Oquab 2017): a random forest on the pixels of half of the images; rank-sum test of "
    "its scores on the other half. Chi-squared test of the label counts. Both one-sided, adjusted by Holm's method. Upper limit of the "
    "difference between the label frequencies by McDiarmid's inequality.",
    unit="fraction",
)


class Settings(Section):
    # The smallest AUC that matters. MNIST's own test split, by other writers, has 0.52 to 0.56; within MNIST, 5 grey levels more, a
    # shift by one pixel or a mirror have 0.88 or more.
    auc: float = Field(gt=0.5, lt=1, default=0.6)
    labels: Probability = (
        0.05  # the smallest share of test labels that matters: those to be changed for the frequencies of train
    )
    # Stricter than `diagnose.alpha`, as most data have no shift to be found, and many checks look at the same model.
    alpha: float = Field(gt=0, lt=0.5, default=0.02)
    rows: int = Field(ge=FEWEST, default=2000)  # images of each of train and test that are looked at, drawn at random


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Compare train with test, by images and by labels. Neither the trained model nor its answers are looked at.

    The forest is trained on one half of the rows and scores the other, so that given the forest, the scores of train and test
    are independent and drawn alike if the images are: the rank-sum test holds (Mann & Whitney 1947), with the standard error
    sqrt((n + m + 1) / 12nm) of an AUC of 0.5. Cross-fitting would not: the two halves repeat each other's chance differences, and
    the AUC varied 1.3 times as much as that. The interval is Hanley & McNeil's (1982, equation 1).

    Of the labels, the total variation distance Σ |p_k - q_k| / 2 is the share that would have to change.

    flag: a difference shown at `alpha` (Holm) that is as large as what matters. pass: both are shown to be smaller, each by an upper
    limit that holds with a probability of 1 - (1 - confidence) / 2, so that both hold with the confidence of `limits`.
    inconclusive: otherwise.

    Cost: a forest of 100 trees on half of at most 4,000 images of at most 32 x 32 pixels; about 1.5 s of one core on MNIST.
    """
    n = min(len(measured.train.labels), len(measured.test.labels))
    if n < FEWEST:
        return QUESTION.not_run(
            f"Telling whether test is drawn as train needs {FEWEST} images of each; there are {len(measured.train.labels)} and "
            f"{len(measured.test.labels)}.",
            len(measured.test.labels),
        )
    found = compare(measured, limits, settings)
    images, labels = found.images_shifted(settings), found.labels_shifted(settings)
    status: Status = "inconclusive"
    if images or labels:
        status = "flag"
    elif found.high < settings.auc and found.label_high < settings.labels:
        status = "pass"
    return QUESTION.answer(
        status,
        _summary(status, found, limits, settings, images=images, labels=labels),
        found.scored,
        Estimate(found.auc, found.low, found.high, found.p_value, found.p_holm, found.mde, settings.auc),
        evidence=_evidence(measured, found, settings),
        remedy=_remedy() if status == "flag" else None,
        by_exclusion=status == "pass" and 0.5 + found.mde > settings.auc,
    )


@dataclass(frozen=True, eq=False)
class Shift:
    """How far train and test differ, in images and in labels."""

    auc: float
    low: float
    high: float
    p_value: float
    p_holm: float
    mde: float  # above 0.5
    scored: int
    most_test_like: "Ints"  # row numbers of test
    distance: float  # total variation between the label frequencies
    label_high: float  # its upper limit
    label_p_value: float
    label_p_holm: float
    train_share: "Floats"  # of each class
    test_share: "Floats"

    def images_shifted(self, settings: Settings) -> bool:
        return self.p_holm <= settings.alpha and self.auc >= settings.auc

    def labels_shifted(self, settings: Settings) -> bool:
        return self.label_p_holm <= settings.alpha and self.distance >= settings.labels


def compare(measured: "Measured", limits: "Limits", settings: Settings) -> Shift:
    """Both tests; see `check`."""
    import numpy as np

    from tasks.statistics.comparisons import detectable, holm
    from tasks.statistics.intervals import exceedance
    from tasks.statistics.random import SHIFT, generator

    random = generator(measured.seed, SHIFT)
    rows = [random.permutation(len(split.labels))[: settings.rows] for split in (measured.train, measured.test)]
    scores, halves = _scores(measured, rows, random)
    auc = area(*scores)
    n, m = len(scores[0]), len(scores[1])
    error = float(np.sqrt((n + m + 1) / (12 * n * m)))
    low, high = area_interval(auc, n, m, limits.confidence)
    classes = measured.test_logits.shape[1]
    counts = [np.bincount(split.labels, minlength=classes) for split in (measured.train, measured.test)]
    train_share, test_share = (count / count.sum() for count in counts)
    p_values = [exceedance((auc - 0.5) / error, np.inf), label_test(*counts)]
    p_holm, label_p_holm = holm(p_values)
    distance = float(np.abs(train_share - test_share).sum() / 2)
    return Shift(
        auc=auc,
        low=low,
        high=high,
        p_value=p_values[0],
        p_holm=p_holm,
        mde=detectable(error, settings.alpha / 2, limits.power),
        scored=n + m,
        most_test_like=measured.test.rows[halves[1][np.argsort(-scores[1], kind="stable")]],
        distance=distance,
        label_high=distance_limit(distance, int(counts[0].sum()), int(counts[1].sum()), (1 + limits.confidence) / 2),
        label_p_value=p_values[1],
        label_p_holm=label_p_holm,
        train_share=train_share,
        test_share=test_share,
    )


def _scores(
    measured: "Measured", rows: "list[Ints]", random: "np.random.Generator"
) -> "tuple[tuple[Floats, Floats], tuple[Ints, Ints]]":
    """How test-like the forest finds the second half of the rows of train and of test; and those rows."""
    import numpy as np

    from tasks.statistics.forests import fitted_forest
    from tasks.statistics.pooling import pooled

    def flat(split_rows: "list[Ints]") -> "NDArray[np.uint8]":
        parts = [pooled(split.images, some) for split, some in zip((measured.train, measured.test), split_rows, strict=True)]
        return np.concatenate([part.reshape(len(part), -1) for part in parts])

    learned, scored = [some[: len(some) // 2] for some in rows], [some[len(some) // 2 :] for some in rows]
    origin = np.repeat([0, 1], [len(some) for some in learned])
    forest = fitted_forest(flat(learned), origin, TREES, int(random.integers(2**31)), class_weight="balanced")
    likely = forest.predict_proba(flat(scored))[:, 1]
    return (likely[: len(scored[0])], likely[len(scored[0]) :]), (scored[0], scored[1])


def area(lower: "Floats", upper: "Floats") -> float:
    """Probability that one of upper (m,) exceeds one of lower (n,), ties counted half: the AUC, by ranks (Mann & Whitney 1947)."""
    import numpy as np
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([lower, upper]))[len(lower) :]
    return float((ranks.mean() - (len(upper) + 1) / 2) / len(lower))


def area_interval(auc: float, n: int, m: int, confidence: float) -> tuple[float, float]:
    """Interval of an AUC from n and m scores (Hanley & McNeil 1982, equation 1, with the two terms of their exponential model)."""
    import numpy as np

    from tasks.statistics.intervals import quantile

    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (m - 1) * (first - auc**2) + (n - 1) * (second - auc**2)) / (n * m)
    width = quantile((1 + confidence) / 2) * float(np.sqrt(max(0.0, variance)))
    return max(0.0, auc - width), min(1.0, auc + width)


def label_test(train: "Ints", test: "Ints") -> float:
    """p-value of the chi-squared test that both counts (K,) have the same frequencies; small classes are counted together."""
    import numpy as np
    from scipy.special import chdtrc

    table = np.stack([train, test])
    small = table.sum(axis=0) * table.sum(axis=1).min() < EXPECTED * table.sum()
    table = np.column_stack([table[:, ~small], table[:, small].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=0) * table.sum(axis=1)[:, None] / table.sum()
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))


def distance_limit(distance: float, n: int, m: int, confidence: float) -> float:
    """One-sided upper limit of the total variation distance between two distributions, from that between the shares of n and m draws.

    The expectation of the latter is not below the former (Jensen), and another draw changes it by 1 / n or 1 / m at most: by
    McDiarmid's inequality (1989) it is below its expectation by more than √(ln(1 / δ) (1 / n + 1 / m) / 2) with probability δ at most.
    The limit holds for any number of classes and draws; it is wide.
    """
    from math import log, sqrt

    return min(1.0, distance + sqrt(log(1 / (1 - confidence)) * (1 / n + 1 / m) / 2))


def _evidence(measured: "Measured", found: Shift, settings: Settings) -> Evidence:
    return {
        "row_numbers": measured.row_numbers,
        "smallest_auc_that_matters": settings.auc,
        "most_test_like_test_rows": found.most_test_like[:20].tolist(),
        "share_of_labels_to_change": found.distance,
        "upper_limit_of_that_share": found.label_high,
        "smallest_share_of_labels_that_matters": settings.labels,
        "label_counts_p_value": found.label_p_value,
        "label_counts_p_value_after_holm_adjustment": found.label_p_holm,
        "train_share_of_each_class": found.train_share.tolist(),
        "test_share_of_each_class": found.test_share.tolist(),
    }


def _summary(status: Status, found: Shift, limits: "Limits", settings: Settings, *, images: bool, labels: bool) -> str:
    import numpy as np

    told = f"AUC {found.auc:.3f} ({interval(found.low, found.high, limits.confidence)}) on {found.scored} images"
    frequencies = f"The label frequencies differ by {percent(found.distance)} (at most {percent(found.label_high)})"
    if status == "pass":
        return (
            f"A random forest on pixels does not tell test from training images by an amount that matters: {told}; smallest AUC that "
            f"matters: {settings.auc:g}. {frequencies}; smallest difference that matters: {percent(settings.labels)}."
        )
    if status == "inconclusive":
        return (
            f"There are too few images to show that test and train are from the same distribution. {told}: one of {settings.auc:g}, "
            f"which matters, {_excluded(found.high < settings.auc)}. {frequencies}: one of {percent(settings.labels)}, which matters, "
            f"{_excluded(found.label_high < settings.labels)}. Use larger training and test sets."
        )
    sentences = []
    if images:
        sentences.append(f"A random forest on pixels tells test from training images: {told}, p = {found.p_holm:.2g} (Holm).")
    if labels:
        worst = int(np.abs(found.test_share - found.train_share).argmax())
        sentences.append(
            f"The label frequencies of test differ from those of train by {percent(found.distance)} (chi-squared test, p = "
            f"{found.label_p_holm:.2g}, Holm), most in class {worst}: {percent(found.test_share[worst])} in test, "
            f"{percent(found.train_share[worst])} in train."
        )
    return " ".join([*sentences, f"So test and train are not from the same distribution. Fix: {_remedy().action}"])


def _excluded(known: bool) -> str:
    return "is excluded" if known else "is not excluded"


def _remedy() -> Remedy:
    return Remedy(
        action="Look at the most test-like images; then divide the data anew at random, or train on data drawn as test is, or augment "
        "train by what differs (train.augmentation).",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="The images and labels of train and test. No training shows yet what this would bring.",
    )
