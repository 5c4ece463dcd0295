"""Did the run learn anything, and did it keep what it had learned?"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.contracts.findings import Evidence, Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import interval, percent

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.arrays import Bools, Floats, Ints
    from tasks.statistics.comparisons import Contrast

VERDICT = "did_not_learn"
PRECEDENCE = 20
REQUIRED = True
Cause = Literal["too high", "too low", "too short"]
SEEN: dict[Cause, str] = {
    "too high": "The training loss rose between epochs, or never came below that of the class frequencies.",
    "too low": "The training loss hardly changed in any epoch.",
    "too short": "The training loss had not come down far enough by the last epoch.",
}
SMALLEST = 8  # recorded training images; with fewer, a standard error means nothing
QUESTION = Question(
    code="learning",
    title="Learning",
    definition="Whether the saved weights know more about the training images than the frequencies of the classes, and whether they "
    "kept what an earlier epoch had learned. A model that does not is neither overfitted nor overconfident: its training failed.",
    estimand="log-loss of the class frequencies of train minus that of the saved weights, on training images in evaluation mode, in "
    "nats",
    method="Paired difference on the recorded training images with an interval by Student's t, corrected for skewness (Hall 1992). "
    "Against the best epoch: one half of these images chooses it and the other half scores it, then they swap roles; compared by the "
    "mean recall over the classes.",
    unit="nats",
)


class Settings(Section):
    """Shares of what there is to learn, so that they mean the same for two classes, for a thousand, and for a rare one."""

    # Of the log-loss of the reference: a gain shown to be smaller (McFadden's R² below 0.05) is next to nothing.
    least_gain: float = Field(gt=0, lt=1, default=0.05)
    # Of the way from guessing to knowing every class: weights that came so far have learned the classes.
    least_recall: float = Field(gt=0, lt=1, default=0.2)
    # Of how far the best epoch had come on that way: weights that keep less have lost what the run had learned.
    least_kept: float = Field(gt=0, lt=1, default=0.5)


@dataclass(frozen=True)
class Gain:
    """How much lower the log-loss of the weights is than that of a reference, and the latter; in nats."""

    contrast: "Contrast"
    reference: float


@dataclass(frozen=True)
class Learned:
    """What the saved weights know of the M recorded training images; accuracies and recalls are fractions."""

    gain: "Contrast"  # in log-loss, over the class frequencies; in nats
    reference: float  # the log-loss of the class frequencies
    accuracy: float
    majority: float  # the accuracy of the majority class
    best: float  # the accuracy of the best epoch, chosen and scored on different images
    best_epoch: int  # from 1
    losses: "Floats"  # (E,) the mean loss of each epoch, in nats; may be infinite
    saved: int  # the saved epoch, from 0
    nothing: bool
    worse: bool
    lost: bool
    something: bool

    @property
    def status(self) -> Status:
        if self.nothing or self.worse or self.lost:
            return "flag"
        return "pass" if self.something else "inconclusive"

    @property
    def rose(self) -> float:
        """The largest rise of the mean training loss above its lowest value of an earlier epoch, in nats."""
        import numpy as np

        with np.errstate(invalid="ignore"):  # the difference of two infinite losses
            return float(np.nan_to_num(self.losses - np.minimum.accumulate(self.losses), nan=np.inf, posinf=np.inf).max())

    @property
    def ended_above(self) -> float:
        """How much higher the mean training loss of the saved epoch is than the lowest one until then, in nats."""
        return float(self.losses[self.saved] - self.losses[: self.saved + 1].min())

    @property
    def never_below(self) -> bool:
        """No epoch had a lower training loss than the class frequencies have."""
        return not self.losses.min() < self.reference

    def still(self, least: float) -> bool:
        """The loss never changed by `least` nats."""
        return bool(self.losses.max() - self.losses.min() < least)


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag a run that learned nothing of its training images, or lost most of what it had learned.

    - Nothing: the gain in log-loss is not above zero, its upper limit is below `least_gain` of what there is to gain (1 - L / L0 is
      the R² of McFadden 1974), and the mean recall over the classes is shown to be less than `least_recall` of the way from guessing
      to 1.
    - Worse than nothing: the loss is above that of the reference by more than `least_gain` of it, however many images are right.
    - Lost: of the way from guessing that the best epoch had come, less than `least_kept` is left, where that epoch had come at least
      `least_recall` of it.

    The reference knows the class frequencies. A loss with class weights learns something else, so the gain is also computed with
    equal weight for each class, against a guess at random, and the larger of both decides.

    Judged on training images: what was learned there and does not carry over is memorised or overfitted, which other checks say. The
    same gain on validation and test is in the evidence. A linear model of a problem that is not linear passes, because it fits its
    training images a little better than the frequencies do: that is for `underfit`. Costs a few milliseconds.
    """
    rows, classes = len(measured.train_index), len(set(measured.train.labels[measured.train_index].tolist()))
    if rows < SMALLEST or classes < 2:
        return QUESTION.not_run(
            f"Whether the run learned needs {SMALLEST} recorded training images and two classes; there are {rows} images and "
            f"{classes} class{'es' if classes != 1 else ''}.",
            rows,
        )
    learned = _learned(measured, limits, settings)
    status, gain = learned.status, learned.gain
    cause = _cause(learned, limits)
    return QUESTION.answer(
        status,
        _summary(status, learned, cause, measured, limits),
        rows,
        Estimate(gain.estimate, gain.low, gain.high, gain.p_value),
        evidence=_evidence(learned, measured, limits),
        remedy=_remedy(cause, measured) if status == "flag" else None,
        # A model that comes near the frequencies and can do no better does no harm of its own: that a simple reference learns, or that
        # the loss still falls, says more about why. One that never came below them, or that came below and rose again, is broken.
        minor=learned.nothing
        and not (learned.worse or learned.lost or learned.never_below or learned.ended_above >= limits.harm_nats),
    )


def _learned(measured: "Measured", limits: "Limits", settings: Settings) -> Learned:
    import numpy as np

    from tasks.statistics.comparisons import mean_difference

    labels = measured.train.labels[measured.train_index]
    right = measured.train_logits.argmax(-1) == labels
    gains = [_gain(measured, "train", limits.confidence), _balanced_gain(measured, limits.confidence)]
    best, epoch = _best(measured.train_epochs.correct)
    weights, guess = _class_weights(labels)
    recall, had = (
        (weights * answers - guess) / (1 - guess) for answers in (right, best)
    )  # their means are 0 for a guess, 1 at most
    one_sided = 1 - 2 * limits.alpha  # the level of a two-sided interval with alpha on each side
    known, had_known = mean_difference(recall, one_sided), mean_difference(had, one_sided)
    kept = mean_difference(recall - settings.least_kept * had, one_sided)
    none = all(gain.contrast.low <= 0 and gain.contrast.high < settings.least_gain * gain.reference for gain in gains)
    return Learned(
        gain=gains[0].contrast,
        reference=gains[0].reference,
        accuracy=float(right.mean()),
        majority=float((labels == np.bincount(measured.train.labels).argmax()).mean()),
        best=float(best.mean()),
        best_epoch=epoch,
        losses=measured.train_epochs.loss.astype(np.float64).mean(axis=1),
        saved=measured.saved,
        nothing=none and known.high < settings.least_recall,
        worse=all(gain.contrast.high < -settings.least_gain * gain.reference for gain in gains),
        lost=kept.high < 0 and had_known.low > settings.least_recall,
        something=any(gain.contrast.low > 0 for gain in gains) or known.low > settings.least_recall,
    )


def _gain(measured: "Measured", split: str, confidence: float) -> Gain:
    """Over the class frequencies of train."""
    from tasks.statistics.calibration import frequency_losses, log_losses
    from tasks.statistics.comparisons import mean_difference

    known = measured.train.labels
    if split == "train":
        logits, labels = measured.train_logits, known[measured.train_index]
    elif split == "validation":
        logits, labels = measured.val_logits, measured.val.labels
    else:
        logits, labels = measured.test_logits, measured.test.labels
    reference = frequency_losses(known, labels, logits.shape[-1])
    return Gain(mean_difference(reference - log_losses(logits, labels), confidence), float(reference.mean()))


def _balanced_gain(measured: "Measured", confidence: float) -> Gain:
    """Over a guess at random among the classes, on training images that count so much that each class counts the same."""
    import numpy as np

    from tasks.statistics.calibration import log_losses
    from tasks.statistics.comparisons import mean_difference

    labels = measured.train.labels[measured.train_index]
    weights, guess = _class_weights(labels)
    losses = log_losses(measured.train_logits, labels)
    return Gain(mean_difference(weights * (-np.log(guess) - losses), confidence), float(-np.log(guess)))


def _class_weights(labels: "Ints") -> "tuple[Floats, float]":
    """The weight of each label (M,), of mean 1, by which every class that occurs counts the same; and the accuracy of a guess."""
    import numpy as np

    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return len(labels) / (len(counts) * counts)[place], 1 / len(counts)


def _best(correct: "Bools") -> "tuple[Bools, int]":
    """The answers (M,) of the epoch with the highest accuracy, of epochs (E, M), and its number, from 1.

    Every second image chooses the epoch for the others, and these for the former: one that chose its own best would favour it.
    """
    import numpy as np

    even = np.arange(correct.shape[1]) % 2 == 0
    chosen = [int(correct[:, ~score].mean(axis=1).argmax()) for score in (even, ~even)]
    return np.where(even, correct[chosen[0]], correct[chosen[1]]), int(correct.mean(axis=1).argmax()) + 1


def _cause(learned: Learned, limits: "Limits") -> Cause:
    """What the records say of the learning rate."""
    still = learned.still(limits.harm_nats)
    if learned.lost or learned.rose >= limits.harm_nats or (learned.never_below and not still):
        return "too high"
    return "too low" if still and len(learned.losses) > 1 else "too short"


def _summary(status: Status, learned: Learned, cause: Cause, measured: "Measured", limits: "Limits") -> str:
    gain, images = learned.gain, f"{len(measured.train_index)} training images"
    side, low, high = ("below", gain.low, gain.high) if gain.estimate >= 0 else ("above", -gain.high, -gain.low)
    known = (
        f"log-loss on {images} is {abs(gain.estimate):.3f} nats {side} that of the class frequencies "
        f"({interval(low, high, limits.confidence)})"
    )
    accuracy = f"accuracy is {percent(learned.accuracy)} (majority class: {percent(learned.majority)})"
    if status == "pass":
        return f"The run learned: {known}, and {accuracy}."
    if status == "inconclusive":
        return f"Too little was recorded to show whether the run learned: {known}, and {accuracy}. Use more training images."
    if learned.lost:
        return (
            f"The run diverged after it had learned: {accuracy} at the saved epoch {measured.saved + 1}, where epoch "
            f"{learned.best_epoch} had reached {percent(learned.best)} (each half of the images scored the epoch that the other half "
            f"chose); {known}. Fix: {_action(cause, measured)}"
        )
    begin = "Nothing was learned, not even of the training images" if learned.nothing else "The model is worse than no model"
    begin = "The run diverged" if cause == "too high" else begin
    return f"{begin}: {known}, and {accuracy}. {SEEN[cause]} Fix: {_action(cause, measured)}"


def _action(cause: Cause, measured: "Measured") -> str:
    from tasks.diagnostics.parts import known

    rate = "train.optimizer.learning_rate" + known(lambda: f" (it reached {measured.rates.max():.3g})", "")
    return {
        "too high": f"lower {rate}, to a tenth at first.",
        "too low": f"raise {rate}; check that no penalty (train.regularisation) is too strong and that labels belong to their images.",
        "too short": f"train for more epochs (train.epochs), or raise {rate}.",
    }[cause]


def _remedy(cause: Cause, measured: "Measured") -> Remedy:
    action = _action(cause, measured)
    return Remedy(
        action=action[0].upper() + action[1:],
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="The learning rates and the training losses of the epochs.",
    )


def _evidence(learned: Learned, measured: "Measured", limits: "Limits") -> Evidence:
    import numpy as np

    from tasks.diagnostics.parts import known

    evidence: Evidence = {
        "train_accuracy": learned.accuracy,
        "majority_class_baseline": learned.majority,
        "best_epoch": learned.best_epoch,
        "train_accuracy_of_best_epoch": learned.best,
        "saved_epoch": measured.saved + 1,
        **known(lambda: {"highest_learning_rate": float(measured.rates.max())}, {}),
    }
    if np.isfinite(learned.losses).all():
        evidence["lowest_and_highest_train_loss_of_an_epoch"] = [float(learned.losses.min()), float(learned.losses.max())]
    for split in ("validation", "test"):
        evidence |= known(partial(_unseen_gain, measured, split, limits), {})
    return evidence


def _unseen_gain(measured: "Measured", split: str, limits: "Limits") -> Evidence:
    """The gain on a split that was not trained on; nothing where it has fewer than two images."""
    if len((measured.val if split == "validation" else measured.test).labels) < 2:
        return {}
    gain = _gain(measured, split, limits.confidence).contrast
    return {
        f"{split}_gain_over_class_frequencies": gain.estimate,
        f"{split}_gain_over_class_frequencies_ci": [gain.low, gain.high],
    }
