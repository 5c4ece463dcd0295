"""Is the validation accuracy optimistic, because many evaluations on the same images were compared?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Evidence, Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import change, points, points_interval

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.comparisons import Contrast

VERDICT = "selection_overfit"
PRECEDENCE = 92
REQUIRED = False
SMALLEST = 40  # validation images: two for each group of the jackknife
QUESTION = Question(
    code="selection",
    title="Optimism of the validation accuracy",
    definition="The best of many evaluations on the same validation images is partly the luckiest one: its validation accuracy is "
    "higher than its accuracy on new images.",
    estimand="expected validation accuracy of this run's epoch with the lowest validation loss minus its accuracy on new images",
    method="Cross-fitting of the choice by validation loss over random halves of the validation set, with a jackknife interval; the "
    "difference of validation and test accuracy with Newcombe's interval.",
    unit="fraction",
)


class Settings(Section):
    # Evaluations on the validation set of the whole family of experiments, tuning included; where not stated, this run's epochs.
    evaluations: int | None = Field(ge=1, default=None)


@dataclass(frozen=True)
class Seen:
    """What speaks for or against optimism, as fractions."""

    best: "Contrast"  # of choosing among this run's epochs
    gap: tuple[float, float, float]  # validation minus test accuracy of the saved epoch, with its interval
    epochs: int  # of this run
    evaluations: int  # that are known of, these among them
    chosen: bool  # validation chose the saved epoch

    def status(self, matters: float) -> Status:
        """Flag where either difference is shown to matter; pass where all that is known of is shown not to."""
        if self.optimistic(matters) or self.gap[1] > matters:
            return "flag"
        small = self.chosen and self.evaluations == self.epochs and self.best.high < matters
        return "pass" if small or self.gap[2] < matters else "inconclusive"

    def optimistic(self, matters: float) -> bool:
        """The choice among this run's epochs is shown to be optimistic by an amount that matters."""
        return self.chosen and self.best.low > matters


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag when the optimism of this run's chosen epoch, or validation minus test accuracy, is shown to be above `harm_accuracy`.

    The first is cross-fitted (`tasks.statistics.selection.optimism`) and counts only where validation chose the saved epoch. The
    second also shows what earlier runs chose on these validation images, but a test set that is drawn otherwise looks alike.
    pass: the second is shown to be smaller, or the first is, where validation chose the saved epoch and no more evaluations are stated
    than this run has epochs. The ceiling √(ln(2m / δ) / 2n), δ = alpha (Hoeffding 1963, theorem 2, with a union bound), is evidence
    only: it does not hold where an evaluation was chosen by the score of an earlier one, as in tuning (Dwork et al. 2015, The reusable
    holdout). So is the optimism of as many equal, independent runs, from the expected largest normal number (Blom 1958).

    The standard error of the first is that of the jackknife (Efron & Stein 1981); the interval of the second is that of Newcombe 1998
    (method 10). That a best score is optimistic: Cawley & Talbot 2010.

    What this cannot see: tuning runs and other experiments on the same validation images, unless `evaluations` states their number,
    which can be counted (flows/evaluations.py). It does not read the history itself: a finding follows from the inputs of its stage.
    Cost: a few products of the recorded epochs with 30 random halves.
    """

    from tasks.statistics.intervals import newcombe
    from tasks.statistics.random import SELECTION, generator
    from tasks.statistics.selection import hoeffding_ceiling, optimism, optimism_of_equal_runs

    correct, n, n_test = measured.val_epochs.correct, len(measured.val.labels), len(measured.test.labels)
    if n < SMALLEST:
        return QUESTION.not_run(
            f"The validation set has {n} images; measuring optimism needs {SMALLEST} or more. Raise preprocess.val_fraction.", n
        )
    epochs = len(correct)
    evaluations = max(settings.evaluations or 0, epochs)
    right = int((measured.val_logits.argmax(-1) == measured.val.labels).sum())
    test_right = int((measured.test_logits.argmax(-1) == measured.test.labels).sum())
    low, high = newcombe(test_right, n_test, right, n, limits.confidence)
    seen = Seen(
        best=optimism(correct, measured.val_epochs.loss, limits.confidence, generator(measured.seed, SELECTION)),
        gap=(right / n - test_right / n_test, low, high),
        epochs=epochs,
        evaluations=evaluations,
        chosen=measured.chosen_by != "last epoch",
    )
    status = seen.status(limits.harm_accuracy)
    evidence: Evidence = {
        "evaluations_of_this_run": epochs,
        "evaluations_counted": evaluations,
        "not_seen": "tuning runs and other experiments on the same validation images, beyond the evaluations counted",
        "saved_epoch_chosen_by": measured.chosen_by,
        "validation_accuracy": right / n,
        "validation_minus_test_accuracy": seen.gap[0],
        "validation_minus_test_accuracy_ci": [low, high],
        "expected_optimism_of_as_many_equal_independent_runs": optimism_of_equal_runs(right / n, evaluations, n),
        "hoeffding_ceiling_if_no_evaluation_was_chosen_by_an_earlier_one": hoeffding_ceiling(evaluations, n, limits.alpha),
        "smallest_optimism_that_matters": limits.harm_accuracy,
    }
    return QUESTION.answer(
        status,
        _summary(status, seen, n, n_test, limits),
        n,
        Estimate(seen.best.estimate, seen.best.low, seen.best.high, p_value=seen.best.p_value, reference=limits.harm_accuracy),
        evidence=evidence,
        remedy=_remedy() if status == "flag" else None,
    )


def _summary(status: Status, seen: Seen, n: int, n_test: int, limits: "Limits") -> str:
    best, matters = seen.best, points(limits.harm_accuracy)
    between = points_interval(best.low, best.high, limits.confidence)
    gap = f"{change(seen.gap[0])} ({points_interval(seen.gap[1], seen.gap[2], limits.confidence)})"
    unseen = "Tuning runs and other experiments are not seen; the option `evaluations` of this check states their number."
    if status == "flag" and seen.optimistic(limits.harm_accuracy):
        return (
            f"The validation accuracy of the chosen epoch is optimistic by {points(best.estimate)} ({between}), by cross-fitting over "
            f"{seen.epochs} epochs on {n} validation images. Fix: report the test accuracy, and use a larger validation set "
            "(preprocess.val_fraction)."
        )
    if status == "flag":
        return (
            f"Validation accuracy minus test accuracy is {gap}, from {n} validation and {n_test} test images: earlier runs were chosen "
            "on these validation images, or test is drawn otherwise. Fix: report the test accuracy, and tune on new validation images."
        )
    if not seen.chosen:
        known = "The last epoch was saved, so that validation chose nothing in this run"
    else:
        known = (
            f"Choosing among this run's {seen.epochs} epochs is optimistic by {points(best.estimate)} ({between}), by cross-fitting on "
            f"{n} validation images"
        )
    known = f"{known}; validation accuracy minus test accuracy is {gap}, from {n} validation and {n_test} test images."
    if seen.evaluations > seen.epochs:
        unseen = f"{seen.evaluations} evaluations on these validation images are stated."
    if status == "pass":
        by = "that difference" if seen.gap[2] < limits.harm_accuracy else "cross-fitting"
        return f"{known} By {by}, an optimism of {matters} or more is excluded. {unseen}"
    return f"{known} An optimism of {matters} is neither shown nor excluded. {unseen} Use larger validation and test sets."


def _remedy() -> Remedy:
    return Remedy(
        action="Report the test accuracy; use more validation images, or new ones for further tuning (preprocess.val_fraction, seed).",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="Optimism of the validation accuracy; it is an error of the number reported, not of the model.",
    )
