"""How good is the model, and is it better than always naming the most frequent class?"""

import numpy as np

from tasks.contracts.findings import Finding, Remedy, Status
from tasks.diagnostics.measured import Limits, Measured
from tasks.diagnostics.statistics import BOOTSTRAP, bootstrap_mean, detectable, generator, log_losses, paired_errors, wilson


def check(measured: Measured, limits: Limits) -> Finding:
    """Accuracy on test, compared with the most frequent train class on the same rows.

    pass: better than that class (McNemar, one-sided, at alpha). flag: not shown to be better, although the accuracy's interval
    ends below the middle between that class and no error at all: a model worth having would have been seen. Otherwise the
    test set is too small to tell. The minimum detectable effect is the smallest advantage over that class.
    """
    labels = measured.test.labels
    wrong = measured.test_logits.argmax(-1) != labels
    majority_wrong = labels != int(np.bincount(measured.train.labels).argmax())
    n, accuracy, majority = len(labels), float(1 - wrong.mean()), float(1 - majority_wrong.mean())
    low, high = wilson(int(n - wrong.sum()), n, limits.confidence)
    advantage = paired_errors(majority_wrong, wrong, limits.confidence)
    status: Status = "inconclusive"
    if advantage.p_value <= limits.alpha:
        status = "pass"
    elif high < (majority + 1) / 2:
        status = "flag"
    losses = log_losses(measured.test_logits, labels)
    interval = bootstrap_mean(losses, limits.confidence, limits.bootstrap_resamples, generator(limits.seed, BOOTSTRAP))
    mde = detectable(advantage.error, limits.alpha, limits.power)
    known = f"accuracy {accuracy:.3f} ({low:.3f} to {high:.3f}) on {n} test rows"
    summaries = {
        "pass": f"{known[0].upper()}{known[1:]}; always naming the most frequent class reaches {majority:.3f}.",
        "flag": f"Underfit: {known}, not shown to be better than always naming the most frequent class ({majority:.3f}); "
        "train longer, raise the learning rate or use a larger model.",
        "inconclusive": f"{n} test rows cannot show whether the accuracy of {accuracy:.3f} beats always naming the most frequent "
        f"class ({majority:.3f})",
    }
    return Finding(
        code="performance",
        title="Performance on test",
        definition="The share of test rows that the model names rightly; a model that the most frequent class matches is underfit.",
        estimand="accuracy on rows drawn as the test rows were",
        estimate=accuracy,
        ci_low=low,
        ci_high=high,
        method="Wilson interval; p: exact one-sided McNemar test against the most frequent train class; "
        f"log-loss: percentile bootstrap of {limits.bootstrap_resamples} resamples",
        n=n,
        p_value=advantage.p_value,
        p_holm=None,
        mde=mde,
        status=status,
        evidence={
            "summary": summaries[status],
            "log_loss": float(losses.mean()),
            "log_loss_ci": list(interval),
            "majority_accuracy": majority,
            "advantage": advantage.estimate,
            "advantage_ci": [advantage.low, advantage.high],
            "mde_is_of": "the advantage over the most frequent class",
        },
        remedy=_remedy() if status == "flag" else None,
    )


def _remedy() -> Remedy:
    return Remedy(
        action="train longer (train.epochs), raise train.optimizer.learning_rate, or choose a larger train.model",
        expected_gain=None,
        ci=None,
        source="the model names test rows no better than their most frequent class",
    )
