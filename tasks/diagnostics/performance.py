"""How good is the model, and is it better than always naming the most frequent class?"""

import numpy as np

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.diagnostics.measured import Limits, Measured
from tasks.diagnostics.statistics import advantage_limit, detectable, log_losses, paired_errors, wilson


def check(measured: Measured, limits: Limits) -> Finding:
    """Accuracy on test, compared with the most frequent train class on the same rows.

    flag: the advantage over that class is shown to be negligible, its upper limit (one-sided, at alpha) below `harm_accuracy` of
    the rows that this class gets wrong. A share of those, not of all rows: where it gets 2 % wrong, no model can be better by more
    than 2 % of all. pass: otherwise better than that class (McNemar, one-sided, at alpha). Else the test set is too small to tell.
    The minimum detectable effect is the smallest advantage over that class.

    The interval of the log-loss is that of `evaluate`, in metrics/evaluation.json: one number, one interval.
    """
    labels = measured.test.labels
    wrong = measured.test_logits.argmax(-1) != labels
    majority_wrong = labels != int(np.bincount(measured.train.labels).argmax())
    n, accuracy, majority = len(labels), float(1 - wrong.mean()), float(1 - majority_wrong.mean())
    low, high = wilson(int(n - wrong.sum()), n, limits.confidence)
    advantage = paired_errors(majority_wrong, wrong, limits.confidence)
    gains, losses = int((majority_wrong & ~wrong).sum()), int((wrong & ~majority_wrong).sum())
    at_most, matters = advantage_limit(gains, losses, n, 1 - limits.alpha), limits.harm_accuracy * (1 - majority)
    status: Status = "inconclusive"
    if at_most < matters:
        status = "flag"
    elif advantage.p_value <= limits.alpha:
        status = "pass"
    mde = detectable(advantage.error, limits.alpha, limits.power)
    known = f"Accuracy {accuracy:.3f} ({low:.3f} to {high:.3f}) on {n} test rows"
    summaries = {
        "pass": f"{known}; always naming the most frequent class reaches {majority:.3f}.",
        "flag": f"{known}, no better by what matters than always naming the most frequent class ({majority:.3f}; better by "
        f"{at_most:.4f} at most); train longer, raise the learning rate or use a larger model.",
        "inconclusive": f"{n} test rows cannot show whether the accuracy of {accuracy:.3f} beats always naming the most frequent "
        f"class ({majority:.3f}; better by {at_most:.3f} at most; smallest advantage that they can show: {mde:.3f})",
    }
    return Finding(
        code="performance",
        title="Performance on test",
        definition="The share of test rows that the model names rightly; a model that the most frequent class matches is underfit.",
        estimand="accuracy on rows drawn as the test rows were",
        estimate=accuracy,
        ci_low=low,
        ci_high=high,
        method="Wilson interval; p: exact one-sided McNemar test against the most frequent train class; upper limit of the "
        "advantage: score test",
        n=n,
        p_value=advantage.p_value,
        p_holm=None,
        mde=mde,
        status=status,
        evidence={
            "summary": summaries[status],
            "log_loss": float(log_losses(measured.test_logits, labels).mean()),
            "majority_accuracy": majority,
            "advantage": advantage.estimate,
            "advantage_ci": [advantage.low, advantage.high],
            "advantage_at_most": at_most,
            "smallest_advantage": matters,
            "mde_is_of": "the advantage over the most frequent class",
        },
        remedy=_remedy() if status == "flag" else None,
    )


def _remedy() -> Remedy:
    return Remedy(
        action="train longer (train.epochs), raise train.optimizer.learning_rate, or choose a larger train.model",
        expected_gain=None,
        ci=None,
        source="on test rows the model is no better, by what matters, than always naming the most frequent class",
    )
