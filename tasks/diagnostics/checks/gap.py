"""How much better is the model on its training data than on test? A description: a gap alone is not an error."""

from typing import TYPE_CHECKING

from tasks.contracts.findings import Finding
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import change, interval, points_interval

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured

VERDICT = None
PRECEDENCE = None
REQUIRED = False
QUESTION = Question(
    code="gap",
    title="Generalization gap",
    definition="How much higher the log-loss is on test than on training images. Informational: a positive gap is normal, so this "
    "check never raises a flag.",
    estimand="expected log-loss of this model on test images minus that on training images, in nats",
    method="Difference of two means with a Welch interval, for this one trained model; the interval of the accuracy gap is Newcombe's.",
    unit="nats",
)


class Settings(Section):
    """No options."""


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Log-loss on test minus log-loss on the recorded training examples, both in evaluation mode.

    A positive gap is normal: for a well-specified logistic regression with d parameters and n training examples it is d / n nats
    (each side contributes d / 2n: Akaike 1974). Costs a few milliseconds.
    """
    import numpy as np

    from tasks.statistics.calibration import log_losses
    from tasks.statistics.comparisons import detectable
    from tasks.statistics.intervals import newcombe, quantile

    m, n = len(measured.train_index), len(measured.test.labels)
    if m < 2 or n < 2:
        return QUESTION.not_run(
            f"The gap needs two images on each side; there are {m} recorded training and {n} test images.", n
        )
    train_labels = measured.train.labels[measured.train_index]
    train, test = log_losses(measured.train_logits, train_labels), log_losses(measured.test_logits, measured.test.labels)
    gap, variances = float(test.mean() - train.mean()), (test.var(ddof=1) / n, train.var(ddof=1) / m)
    error = float(np.sqrt(sum(variances)))
    # Welch 1947: the two variances may differ, and they do where the training data are fitted closely.
    degrees = error**4 / (variances[0] ** 2 / (n - 1) + variances[1] ** 2 / (m - 1)) if error > 0 else np.inf
    width = quantile((1 + limits.confidence) / 2, float(degrees)) * error
    train_right = int((measured.train_logits.argmax(-1) == train_labels).sum())
    test_right = int((measured.test_logits.argmax(-1) == measured.test.labels).sum())
    low, high = newcombe(train_right, m, test_right, n, limits.confidence)
    accuracy_gap = test_right / n - train_right / m
    return QUESTION.answer(
        "info",
        f"Test log-loss minus training log-loss is {gap:.3f} nats ({interval(gap - width, gap + width, limits.confidence)}), and test "
        f"accuracy minus training accuracy is {change(accuracy_gap)} ({points_interval(low, high, limits.confidence)}), from {m} "
        f"training and {n} test images. Informational: a gap alone is not an error.",
        n,
        Estimate(gap, gap - width, gap + width, mde=detectable(error, limits.alpha, limits.power, sides=2)),
        evidence={
            "recorded_train_images": m,
            "train_log_loss": float(train.mean()),
            "test_log_loss": float(test.mean()),
            "train_accuracy": train_right / m,
            "test_accuracy": test_right / n,
            "accuracy_gap": accuracy_gap,
            "accuracy_gap_ci": [low, high],
        },
    )
