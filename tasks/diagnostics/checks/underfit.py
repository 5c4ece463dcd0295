"""Does a simple model that is fitted in seconds do better than the trained one?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.harms import Harm
from tasks.diagnostics.question import Question
from tasks.diagnostics.words import percent, points, points_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tasks.diagnostics.measured import Limits, Measured
    from tasks.diagnostics.references import Reference
    from tasks.statistics.arrays import Bools, Ints
    from tasks.statistics.comparisons import Contrast

VERDICT = "underfit"
PRECEDENCE = 32
REQUIRED = False
REFERENCES = 4
QUESTION = Question(
    code="underfit",
    title="Simple references",
    definition="A simple model, fitted on the same training images, is more accurate on validation than the trained one, which does "
    "not reach that accuracy even on its training images, or fits these less than a better logistic regression does. So it is not "
    "overfitted: it fits too little.",
    estimand="accuracy of the strongest reference minus that of the model, on images drawn from the same population as validation",
    method="Majority class, multinomial logistic regression, 1-nearest neighbour and random forest, fitted on pixels of train. Exact "
    "one-sided McNemar tests on the validation images, p-values adjusted by Holm's method over the references. The minimum "
    "detectable effect is at alpha / 4.",
    unit="fraction",
)


class Settings(Section):
    train_rows: int = Field(ge=2, default=1000)  # each reference is fitted on so many training images at most, drawn at random
    trees: int = Field(ge=1, default=50)  # of the random forest


@dataclass(frozen=True)
class Rival:
    """A reference, its accuracy on validation, and how much higher that is than the model's."""

    name: str
    accuracy: float
    harm: Harm
    fit: float | None  # its accuracy on the images that it was fitted on, where that says something

    def fits_more(self, train_accuracy: float) -> bool:
        """Whether a model with this accuracy on its training images fits less than the reference shows to be right."""
        return train_accuracy < (self.accuracy if self.fit is None else max(self.accuracy, self.fit))


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag when a reference is more accurate than the model on validation, and the model fits its training images too little.

    More accurate on validation: by a McNemar test after Holm's adjustment, unless the interval shows that the difference is smaller
    than `harm_accuracy`. Too little: the model's accuracy on training images lies below that of the reference on validation, or below
    that of the logistic regression on training images. This keeps models apart that fit their training images and do not generalise:
    they need less capacity or more data, not more capacity.

    The tests are the exact, binomial form of McNemar 1947, adjusted by the method of Holm 1979. The references are the most frequent
    class, logistic regression, the nearest neighbour (Cover & Hart 1967) and a random forest (Breiman 2001).

    The references are fitted on train alone and see validation once. Cost: about 1 s of one core on MNIST. Measured for 1,000 training
    and 2,000 validation images without any signal, which is the slowest case: 4.6 s with 784 pixels and 9 s with 3 x 1,024, and up to
    4 s once for the import of scikit-learn; less than a second for images of 64 pixels.
    """
    from tasks.diagnostics.references import references

    labels, known = measured.val.labels, measured.train.labels[measured.train_index]
    if not len(labels) or not len(known):
        return QUESTION.not_run(
            f"References are compared on validation images and recorded training images; there are {len(labels)} and {len(known)}.",
            len(labels),
        )
    fit = _accuracy(measured.train_logits, known)
    asked = references(measured.train, measured.val.images, settings.train_rows, settings.trees, measured.seed)
    rivals = compare(list(asked), measured.val_logits.argmax(-1) != labels, labels, limits)
    better = [rival for rival in rivals if rival.harm.proven(limits.alpha)]
    above = [rival for rival in better if rival.fits_more(fit)]
    strongest = max(above or better or rivals, key=lambda rival: rival.accuracy)
    status: Status = "inconclusive"
    if above:
        status = "flag"
    elif better or all(rival.harm.answered for rival in rivals):
        status = "pass"
    return QUESTION.answer(
        status,
        _summary(status, strongest, rivals, measured, limits),
        len(labels),
        strongest.harm.estimate,
        evidence={
            "strongest_reference": strongest.name,
            "train_accuracy": fit,
            "validation_accuracy": _accuracy(measured.val_logits, labels),
            **{f"validation_accuracy_of_{rival.name.replace(' ', '_')}": rival.accuracy for rival in rivals},
            **{f"p_value_after_holm_adjustment_of_{rival.name.replace(' ', '_')}": rival.harm.p_holm for rival in rivals},
            "reference_train_rows": min(settings.train_rows, len(measured.train.labels)),
            "smallest_difference_that_matters": limits.harm_accuracy,
        },
        remedy=_remedy() if status == "flag" else None,
        note=_note(strongest, measured) if better and not above else "",
        by_exclusion=status == "pass" and strongest.harm.excluded and not all(rival.harm.powered for rival in rivals),
    )


def compare(asked: "Sequence[Reference]", wrong: "Bools", labels: "Ints", limits: "Limits") -> list[Rival]:
    """Every reference with its advantage over a model that is wrong (V,) on validation images with labels (V,)."""
    from tasks.statistics.comparisons import detectable, holm, paired_errors

    contrasts = [paired_errors(wrong, reference.answers != labels, limits.confidence) for reference in asked]
    adjusted = holm([contrast.p_value for contrast in contrasts])
    return [
        Rival(
            reference.name,
            float((reference.answers == labels).mean()),
            Harm(contrast, p_holm, detectable(contrast.error, limits.alpha / REFERENCES, limits.power), limits.harm_accuracy),
            reference.fit,
        )
        for reference, contrast, p_holm in zip(asked, contrasts, adjusted, strict=True)
    ]


def _accuracy(logits: "NDArray[np.float32]", labels: "Ints") -> float:
    return float((logits.argmax(-1) == labels).mean())


def _summary(status: Status, strongest: Rival, rivals: "Sequence[Rival]", measured: "Measured", limits: "Limits") -> str:
    contrast, images = strongest.harm.contrast, f"{len(measured.val.labels)} validation images"
    fit = percent(_accuracy(measured.train_logits, measured.train.labels[measured.train_index]))
    model = percent(_accuracy(measured.val_logits, measured.val.labels))
    seen = f"{strongest.name}: {percent(strongest.accuracy)}, the model: {model} on {images}"
    difference = f"{_more(contrast)} ({points_interval(contrast.low, contrast.high, limits.confidence)})"
    if status == "flag":
        return (
            f"A simple reference does better ({seen}): {difference}, and the model's accuracy on its own training images, {fit}, is "
            f"{_low(strongest)}. So it fits too little. Fix: {FIX[0].lower()}{FIX[1:]}"
        )
    if status == "inconclusive":
        smallest = points(max(rival.harm.mde for rival in rivals if not rival.harm.answered))
        return (
            f"{images} are too few to show whether a simple reference does better by {points(limits.harm_accuracy)} (strongest "
            f"reference, {seen}; smallest detectable difference: {smallest}). Use a larger validation set (preprocess.val_fraction)."
        )
    if strongest.harm.proven(limits.alpha):
        return (
            f"Not underfitted, as accuracy on training images is {fit}; but a simple reference generalises better ({seen}): "
            f"{difference}."
        )
    return f"No simple reference is meaningfully better than the model (strongest reference, {seen}): {difference}."


def _note(strongest: Rival, measured: "Measured") -> str:
    model, n = _accuracy(measured.val_logits, measured.val.labels), len(measured.val.labels)
    return (
        f"A simple reference is more accurate than the model: {strongest.name} {percent(strongest.accuracy)}, the model "
        f"{percent(model)} on {n} validation images (p = {strongest.harm.p_holm:.2g}, exact McNemar test, Holm)."
    )


def _low(strongest: Rival) -> str:
    if strongest.fit is not None and strongest.fit > strongest.accuracy:
        return f"lower than that reference's there, {percent(strongest.fit)}"
    return "lower too"


def _more(contrast: "Contrast") -> str:
    return f"{points(abs(contrast.estimate))} {'more' if contrast.estimate >= 0 else 'less'}"


FIX = "Use a larger train.model, a weaker penalty (train.regularisation), more train.epochs, or another train.optimizer.learning_rate."


def _remedy() -> Remedy:
    return Remedy(
        action=FIX,
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="A simple reference, fitted on the same training images, is more accurate on validation.",
    )
