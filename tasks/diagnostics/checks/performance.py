"""How accurate is the model on test, and is it better than always predicting the most frequent class?"""

from typing import TYPE_CHECKING

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import level, percent, percent_interval, points

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured

VERDICT = "underfit"
PRECEDENCE = 30
REQUIRED = True
QUESTION = Question(
    code="performance",
    title="Test performance",
    definition="Test accuracy, compared with the majority-class baseline, which always predicts the most frequent class of the "
    "training data. A model that is not meaningfully better than this baseline is underfit.",
    estimand="accuracy on images drawn from the same population as the test set",
    method="Wilson interval of the accuracy; exact one-sided McNemar test against the majority-class baseline; score test for the "
    "upper limit of the advantage over it. The minimum detectable effect is that of the advantage. A small advantage does not pass "
    "where the log-loss is shown to be above that of the class frequencies.",
    unit="fraction",
    reference="majority-class baseline",
)


# Of the way from the majority class to no error: a model that is shown to have come less far, and whose probabilities are worse than
# the class frequencies, is not known to be of use, though it is better than that class. A run that diverged ends like that.
LEAST_WAY = 0.2


class Settings(Section):
    """No options."""


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Test accuracy, compared with the most frequent training class on the same examples.

    flag: the advantage over that class is shown to be negligible: its upper limit (one-sided, at alpha) is below `harm_accuracy`
    times the share of examples that this class gets wrong. It is a share of those, not of all examples: where the baseline gets 2 %
    wrong, no model can be better by more than 2 % of all. pass: otherwise, better than that class (McNemar, one-sided, at alpha).
    inconclusive: neither, as the test set is too small to tell; or accuracy and log-loss say the opposite. The latter is where the
    log-loss is shown to be above that of the class frequencies of train and the advantage is shown to be below `LEAST_WAY`.

    The interval of the accuracy is that of Wilson 1927. The test is the exact, binomial form of McNemar 1947: of the b + c images that
    only one of the two gets right, b ~ Binomial(b + c, 1/2). The upper limit is the score limit of Tango 1998 (section 3).

    The interval of the log-loss is in metrics/evaluation.json and not repeated here. Costs a few milliseconds.
    """
    import numpy as np

    from tasks.statistics.comparisons import advantage_limit, detectable, paired_errors
    from tasks.statistics.intervals import wilson

    labels = measured.test.labels
    wrong = measured.test_logits.argmax(-1) != labels
    majority_wrong = labels != int(np.bincount(measured.train.labels).argmax())
    n, accuracy, majority = len(labels), float(1 - wrong.mean()), float(1 - majority_wrong.mean())
    low, high = wilson(int(n - wrong.sum()), n, limits.confidence)
    advantage = paired_errors(majority_wrong, wrong, limits.confidence)
    gains, losses = int((majority_wrong & ~wrong).sum()), int((wrong & ~majority_wrong).sum())
    at_most, matters = advantage_limit(gains, losses, n, 1 - limits.alpha), limits.harm_accuracy * (1 - majority)
    own, guessed, is_worse = _losses(measured, limits)
    better = advantage.p_value <= limits.alpha
    opposed = better and is_worse and at_most < LEAST_WAY * (1 - majority)
    status: Status = "flag" if at_most < matters else "pass" if better and not opposed else "inconclusive"
    mde = detectable(advantage.error, limits.alpha, limits.power)
    known = f"{percent(accuracy)} ({percent_interval(low, high, limits.confidence)})"
    baseline = f"the majority-class baseline of {percent(majority)}"
    bound = f"{_bound(at_most)} (one-sided {level(1 - limits.alpha)} limit)"
    summaries = {
        "pass": f"Test accuracy is {known} on {n} test images; majority-class baseline: {percent(majority)}.",
        "flag": f"Test accuracy is {known}, not meaningfully better than {baseline}: it is {bound}, by a score test on {n} test "
        "images. Fix: train longer, change the learning rate, or use a larger model.",
        "opposed": f"Test accuracy is {known}, better than {baseline}, but the log-loss of {own:.3f} nats is worse than the "
        f"{guessed:.3f} nats of the class frequencies, on {n} test images. Whether this model is of use is not shown.",
        "inconclusive": f"Test accuracy is {known}, but {n} test images are too few to show whether that beats {baseline}: it is "
        f"{bound}, and the smallest detectable advantage is {points(mde)}. Use a larger test set.",
    }
    return QUESTION.answer(
        status,
        summaries["opposed" if opposed and status != "flag" else status],
        n,
        Estimate(accuracy, low, high, p_value=advantage.p_value, mde=mde, reference=majority),
        evidence={
            "log_loss": own,
            "log_loss_of_class_frequencies": guessed,
            "majority_class_baseline": majority,
            "advantage_over_baseline": advantage.estimate,
            "advantage_over_baseline_ci": [advantage.low, advantage.high],
            "upper_limit_of_advantage": at_most,
            "smallest_advantage_that_matters": matters,
        },
        remedy=_remedy() if status == "flag" else None,
    )


def _losses(measured: "Measured", limits: "Limits") -> tuple[float, float, bool]:
    """The log-loss on test, that of the class frequencies of train, and whether the former is shown to be higher."""
    from tasks.statistics.calibration import frequency_losses, log_losses
    from tasks.statistics.comparisons import mean_difference

    labels = measured.test.labels
    own = log_losses(measured.test_logits, labels)
    guessed = frequency_losses(measured.train.labels, labels, measured.test_logits.shape[-1])
    is_worse = len(labels) > 1 and mean_difference(own - guessed, limits.confidence).p_value <= limits.alpha
    return float(own.mean()), float(guessed.mean()), is_worse


def _bound(at_most: float) -> str:
    return f"at least {points(-at_most)} below it" if at_most < 0 else f"at most {points(at_most)} above it"


def _remedy() -> Remedy:
    return Remedy(
        action="Train longer (train.epochs), choose another train.optimizer.learning_rate, or a larger train.model.",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="The accuracy on test is not meaningfully better than the majority-class baseline.",
    )
