"""Is the model significantly and materially worse on some class, when it predicts some class, or on some value of the metadata?"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from tasks.contracts.findings import Evidence, Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import percent, points, points_interval

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.arrays import Bools

VERDICT = "weak_slice"
PRECEDENCE = 90
REQUIRED = False
QUESTION = Question(
    code="slices",
    title="Weak slices",
    definition="A part of the test set on which the model is much less accurate than on the rest: the images of one class (low "
    "recall), or those for which it predicts one class (low precision). The accuracy of the whole hides it.",
    estimand="accuracy on the other test images minus accuracy on the slice, for the slice where this is largest (among those that "
    "are flagged, if any)",
    method="Fisher's exact test of each slice against the rest, one-sided, adjusted by Holm's method over all slices; Newcombe's "
    "interval of the difference from Jeffreys' limits, at the level of Bonferroni's method over all slices.",
    unit="fraction",
)
WITH_METADATA = replace(
    QUESTION,
    definition="A part of the test set on which the model is much less accurate than on the rest: the images of one class (low "
    "recall), those for which it predicts one class (low precision), or those with one value of the metadata, such as one camera. The "
    "accuracy of the whole hides it.",
)


class Settings(Section):
    gap: float = Field(
        gt=0, lt=1, default=0.1
    )  # the smallest difference in accuracy that matters; some class is always the hardest
    # Stricter than `diagnose.alpha`, as many checks look at the same model.
    alpha: float = Field(gt=0, lt=0.5, default=0.02)


@dataclass(frozen=True)
class Slice:
    """A part of test against the rest of it."""

    name: str
    n: int
    accuracy: float
    behind: float  # accuracy on the rest, minus that on the slice
    low: float
    high: float
    mde: float
    p_value: float
    of_metadata: bool
    p_holm: float = 1.0


class Levels(NamedTuple):
    """Error rate and power of one test, and the confidence of one interval, so that they hold for all slices at once."""

    alpha: float
    power: float
    confidence: float


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Compare each true class, each predicted class and each value of the metadata with the rest of the test set.

    flag: Fisher's exact test (Fisher 1935, The logic of inductive inference) rejects "not worse than the rest" at `alpha` after the
    adjustment of Holm 1979 over all slices, and the slice is behind by at least `gap`. pass: otherwise, if for each slice the interval
    (Newcombe 1998, method 10) excludes a difference of `gap`. inconclusive: some slices are too small for that.

    The interval holds for all slices at once (Bonferroni's inequality: Dunn 1961), but the largest of several estimates tends to be too
    large. It is made from Jeffreys' limits: from Wilson's, which are too low near 1 at so high a level, the intervals of 20 slices of
    15 to 30 images held all at once in 89 to 92 % instead of 95 %.

    Cost: none to speak of.
    """
    slices = compare(measured, limits, settings)
    question = WITH_METADATA if measured.metadata else QUESTION
    if not slices:
        reason = "All test images are of one class, and the model predicts one class for all: there are no slices to compare."
        return question.not_run(reason, len(measured.test.labels))
    weak = [part for part in slices if part.p_holm <= settings.alpha and part.behind >= settings.gap]
    weak.sort(key=lambda part: -part.behind)
    small = [part for part in slices if part.high >= settings.gap]
    status: Status = "flag" if weak else "inconclusive" if small else "pass"
    worst = weak[0] if weak else max(slices, key=lambda part: part.behind)
    return question.answer(
        status,
        _flag(weak, limits) if weak else _unflagged(slices, small, limits, settings),
        worst.n,
        Estimate(worst.behind, worst.low, worst.high, worst.p_value, worst.p_holm, worst.mde, settings.gap),
        evidence=_evidence(slices, weak, small, settings),
        remedy=_remedy(worst) if weak else None,
        by_exclusion=status == "pass" and any(part.mde > settings.gap for part in slices),
    )


def compare(measured: "Measured", limits: "Limits", settings: Settings) -> list[Slice]:
    """Every slice that neither is empty nor holds all of test, with its adjusted p-value."""
    import numpy as np

    from tasks.statistics.comparisons import holm

    labels, predicted, classes = measured.test.labels, measured.test_logits.argmax(-1), range(measured.test_logits.shape[1])
    right = predicted == labels
    members = [(f"images of class {k}", labels == k) for k in classes]
    members += [(f"images predicted as class {k}", predicted == k) for k in classes]
    of_class = len(members)
    for column, values in measured.metadata.items():
        members += [(f"images with {column} = {value or '(empty)'}", values == value) for value in np.unique(values).tolist()]
    parts = [(name, own, place >= of_class) for place, (name, own) in enumerate(members) if 0 < own.sum() < len(own)]
    count = max(1, len(parts))
    levels = Levels(settings.alpha / count, limits.power, 1 - (1 - limits.confidence) / count)
    tested = [_slice(name, right[own], right[~own], levels, of_metadata) for name, own, of_metadata in parts]
    adjusted = holm([part.p_value for part in tested])
    return [replace(part, p_holm=p_holm) for part, p_holm in zip(tested, adjusted, strict=True)]


def _slice(name: str, own: "Bools", rest: "Bools", levels: Levels, of_metadata: bool) -> Slice:
    """One slice, from which images are right in it (n,) and in the rest (m,)."""
    import numpy as np
    from scipy.stats import hypergeom

    from tasks.statistics.comparisons import detectable
    from tasks.statistics.intervals import jeffreys, newcombe

    right, n, right_rest, m = int(own.sum()), len(own), int(rest.sum()), len(rest)
    low, high = newcombe(right, n, right_rest, m, levels.confidence, limits=jeffreys)
    # The standard error if the slice is as accurate as the rest, with half an image on either side, so that it is never zero.
    share = (right + right_rest + 0.5) / (n + m + 1)
    error = float(np.sqrt(share * (1 - share) * (1 / n + 1 / m)))
    p_value = float(hypergeom.cdf(right, n + m, right + right_rest, n))
    mde = detectable(error, levels.alpha, levels.power)
    return Slice(name, n, right / n, right_rest / m - right / n, low, high, mde, p_value, of_metadata)


def _flag(weak: list[Slice], limits: "Limits") -> str:
    """What is wrong, by how much, how we know, and what to do."""
    worst = weak[0]
    others = f" Also weak: {', '.join(part.name for part in weak[1:])}." if len(weak) > 1 else ""
    return (
        f"{_behind(worst, limits)}; p = {worst.p_holm:.2g} by Fisher's exact test with Holm's adjustment.{others} "
        f"Fix: {_remedy(worst).action}"
    )


def _behind(part: Slice, limits: "Limits") -> str:
    between = points_interval(part.low, part.high, limits.confidence)
    return (
        f"On {part.name} ({part.n} test images) accuracy is {percent(part.accuracy)}, {points(part.behind)} below that on the rest "
        f"({between}, for all slices at once)"
    )


def _unflagged(slices: list[Slice], small: list[Slice], limits: "Limits", settings: Settings) -> str:
    if not small:
        worst = max(slices, key=lambda part: part.behind)
        described = any(part.of_metadata for part in slices)
        none = "No class, no predicted class and no value of the metadata" if described else "No class and no predicted class"
        return f"{none} is shown to be {points(settings.gap)} below the rest. {_behind(worst, limits)}."
    named = ", ".join(f"{part.name} ({part.n})" for part in sorted(small, key=lambda part: part.n)[:3])
    return (
        f"{len(small)} of {len(slices)} slices have too few test images to show whether they are {points(settings.gap)} below "
        f"the rest; the smallest: {named}. Use a larger test set."
    )


def _evidence(slices: list[Slice], weak: list[Slice], small: list[Slice], settings: Settings) -> Evidence:
    return {
        "slices_compared": len(slices),
        "smallest_difference_that_matters": settings.gap,
        "weak_slices": [part.name for part in weak],
        "slices_too_small": [part.name for part in small],
        "name_of_each_slice": [part.name for part in slices],
        "accuracy_of_each_slice": [part.accuracy for part in slices],
        "images_of_each_slice": [part.n for part in slices],
        "p_value_of_each_slice_after_holm_adjustment": [part.p_holm for part in slices],
    }


def _remedy(worst: Slice) -> Remedy:
    of_class = (
        f"Look at the errors on {worst.name} in the confusion matrix, correct wrong labels, and add training images of the "
        "classes that are confused there."
    )
    of_metadata = (
        f"Look at what sets {worst.name} apart from the rest, correct wrong labels, and add such images to the training set."
    )
    return Remedy(
        action=of_metadata if worst.of_metadata else of_class,
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="The test accuracy of each slice. No training shows yet what such images would bring.",
    )
