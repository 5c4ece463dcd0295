"""What other tools would say of the same run, by their published rules: is it overfitted?"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tasks.diagnostics.measured import Measured
from tasks.statistics.arrays import Floats, Ints
from tasks.statistics.calibration import log_losses, log_probabilities


def skd001(measured: Measured) -> bool:
    """skore's check SKD001, "potential overfitting" (version 0.28): a strict majority of the metrics votes for it.

    A metric votes where it is better on train than on test by max(0.03, 0.1 |its value on test|) or more. They are skore's of a
    classifier; the accuracy is among them twice, as the score of the estimator and as a metric.
    """
    train = _scores(measured.train_logits, measured.train.labels[measured.train_index])
    test = _scores(measured.test_logits, measured.test.labels)
    better = {name: (test[name] - train[name]) * (1 if name in LOW_IS_BETTER else -1) for name in train.keys() & test.keys()}
    votes = [gap >= max(0.03, 0.1 * abs(test[name])) for name, gap in better.items()]
    return 2 * sum(votes) > len(votes)


LOW_IS_BETTER = {"log-loss", "Brier score"}


def _scores(logits: NDArray[np.floating], labels: Ints) -> dict[str, float]:
    """The metrics by name; a class without rows has no area, and a precision and recall of 0 as in scikit-learn."""
    from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

    probabilities, predicted, classes = np.exp(log_probabilities(logits)), logits.argmax(-1), range(logits.shape[1])
    precision, recall, _, _ = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    accuracy = float((predicted == labels).mean())
    scores = {"score": accuracy, "accuracy": accuracy, "log-loss": float(log_losses(logits, labels).mean())}
    for k in classes:
        scores |= {f"precision {k}": float(precision[k]), f"recall {k}": float(recall[k])}
    areas = {
        f"area {k}": float(roc_auc_score(labels == k, probabilities[:, k]))
        for k in classes
        if 0 < (labels == k).sum() < len(labels)
    }
    if len(classes) == 2:
        brier = float(((probabilities[:, 1] - labels) ** 2).mean())
        return scores | {"Brier score": brier} | {name: area for name, area in areas.items() if name == "area 1"}
    means = {"mean precision": precision.mean(), "mean recall": recall.mean(), "mean area": np.mean(list(areas.values()))}
    return scores | areas | {name: float(mean) for name, mean in means.items()}


def above_minimum(measured: Measured, factor: float = 1.2) -> bool:
    """The validation loss of the saved epoch is above so many times its minimum over the epochs."""
    losses = _losses(measured)
    return bool(losses[measured.saved] > factor * losses.min())


def inc_to_dec(measured: Measured, threshold: float = 0.01, wait: int = 5) -> bool:
    """CatBoost's overfitting detector IncToDec: it would have stopped the run at the saved epoch or before.

    With s_i = -(validation loss of epoch i): the expected increase E_i = max over i1 <= i2 <= i of 0.99^(i - i1) (s_i2 - s_i1),
    x = E_i / (max over j <= i of s_j - s_i), and the detector stops where exp(-0.5 / x) is below od_pval, od_wait epochs or more
    after the best one. The documentation recommends an od_pval from 1e-10 to 1e-2: the largest stops first. An od_wait of 5 is the
    patience of `train.early_stopping`; the default, 20, is for trees.
    """
    scores = -_losses(measured)[: measured.saved + 1]
    expected, best = 0.0, 0
    for i, score in enumerate(scores):
        ages = np.arange(i, -1, -1)
        expected = max(0.99 * expected, float((0.99**ages * (score - scores[: i + 1])).max()))
        best = i if score > scores[best] else best
        x = expected / max(float(scores[best] - score), 1e-10)
        if i - best >= wait and np.exp(-0.5 / max(x, 1e-10)) < threshold:
            return True
    return False


def _losses(measured: Measured) -> Floats:
    """The mean validation log-loss of each epoch (E,)."""
    losses: Floats = measured.val_epochs.loss.mean(axis=1)
    return losses


RULES: dict[str, Callable[[Measured], bool]] = {
    "skore SKD001": skd001,
    "validation loss > 1.2 x minimum": above_minimum,
    "CatBoost IncToDec": inc_to_dec,
}
