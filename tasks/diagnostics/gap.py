"""How much better is the model on what it was trained on? A description: a gap alone is no verdict."""

import numpy as np

from tasks.contracts.findings import Evidence, Finding, Status
from tasks.diagnostics.measured import Limits, Measured
from tasks.diagnostics.statistics import detectable, log_losses, quantile, wilson


def check(measured: Measured, limits: Limits) -> Finding:
    """Log-loss on test minus log-loss on the recorded train rows, both in evaluation mode; never a flag.

    A gap above zero is normal: a well-specified logistic regression with d parameters and n train rows has d / n nats of it
    (d / 2n optimism on either side: Akaike 1974).
    """
    m, n = len(measured.train_index), len(measured.test.labels)
    if m < 2 or n < 2:
        return _finding("not_run", None, None, {"summary": f"Not run: {m} recorded train rows and {n} test rows."}, n)
    train_labels = measured.train.labels[measured.train_index]
    train, test = log_losses(measured.train_logits, train_labels), log_losses(measured.test_logits, measured.test.labels)
    gap, variances = float(test.mean() - train.mean()), (test.var(ddof=1) / n, train.var(ddof=1) / m)
    error = float(np.sqrt(sum(variances)))
    # Welch 1947: the two variances may differ, and do where train is fitted closely.
    degrees = error**4 / (variances[0] ** 2 / (n - 1) + variances[1] ** 2 / (m - 1)) if error > 0 else np.inf
    width = quantile((1 + limits.confidence) / 2, float(degrees)) * error
    train_right = int((measured.train_logits.argmax(-1) == train_labels).sum())
    test_right = int((measured.test_logits.argmax(-1) == measured.test.labels).sum())
    low, high = proportions_gap(train_right, m, test_right, n, limits.confidence)
    return _finding(
        "pass",
        (gap, gap - width, gap + width),
        detectable(error, limits.alpha, limits.power, sides=2),
        {
            "summary": f"Log-loss is {gap:+.3f} nats on test against train, accuracy {test_right / n - train_right / m:+.3f}; "
            "a gap alone is no fault.",
            "train_rows": m,
            "train_log_loss": float(train.mean()),
            "test_log_loss": float(test.mean()),
            "train_accuracy": train_right / m,
            "test_accuracy": test_right / n,
            "accuracy_gap": test_right / n - train_right / m,
            "accuracy_gap_ci": [low, high],
        },
        n,
    )


def proportions_gap(first: int, m: int, second: int, n: int, confidence: float) -> tuple[float, float]:
    """Interval of second / n - first / m, from the two Wilson intervals (Newcombe 1998, method 10)."""
    (low_1, high_1), (low_2, high_2) = wilson(first, m, confidence), wilson(second, n, confidence)
    p, q = first / m, second / n
    below, above = np.hypot(q - low_2, high_1 - p), np.hypot(high_2 - q, p - low_1)
    return float(q - p - below), float(q - p + above)


def _finding(
    status: Status,
    interval: tuple[float, float, float] | None,
    mde: float | None,
    evidence: Evidence,
    n: int,
) -> Finding:
    estimate, low, high = interval or (None, None, None)
    return Finding(
        code="gap",
        title="Gap between train and test",
        definition="How much larger the log-loss is on test rows than on train rows; descriptive, never a flag.",
        estimand="expected log-loss of this model on test rows minus that on train rows, in nats",
        estimate=estimate,
        ci_low=low,
        ci_high=high,
        method="difference of two means, Welch interval, conditional on the model; accuracy: Newcombe's interval",
        n=n,
        p_value=None,
        p_holm=None,
        mde=mde,
        status=status,
        evidence=evidence,
        remedy=None,
    )
