"""What the numbers of each epoch describe. They have no interval, so that nothing here is a flag."""

import numpy as np

from tasks.contracts.findings import Evidence, Finding
from tasks.diagnostics.crossfit import SMALLEST, paired_mean, strongest_rival
from tasks.diagnostics.harms import AGAINST
from tasks.diagnostics.history import HUGGING_FACE, LIGHTNING, History
from tasks.diagnostics.limits import Limits
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.records import Records
from tasks.diagnostics.words import change, interval, percent, points_interval
from tasks.statistics.arrays import Bools, Floats
from tasks.statistics.comparisons import paired_errors

CURVES = Question(
    code="curves",
    title="Learning curves",
    definition="Where the validation loss was lowest, how much it has risen since, and how far it lies above the training loss. "
    "Informational: a history has one number for each epoch, so how much of this is chance is not known.",
    estimand="none: a description of the recorded numbers, in the unit of the loss that was logged",
    method="Differences of the recorded means, without an interval. The lowest of many noisy numbers looks better than it is.",
    unit="nats",
)
EPOCHS = Question(
    code="epochs",
    title="Saved epoch against the best one",
    definition="How much higher the validation loss is at the saved epoch than at the best epoch. Informational: without probabilities "
    "it cannot be told whether temperature scaling would remove the difference.",
    estimand=f"expected log-loss of the saved epoch minus {AGAINST}, in nats",
    method="Cross-fitting: each half of the validation set chooses the best epoch for the other half to score; Student's t.",
    unit="nats",
)


def rise(history: History, saved: float) -> str:
    """The first thing to know of a history: where the validation loss was lowest, and how much it has risen since."""
    loss = history.values("val_loss")
    return "No validation loss was logged." if loss is None else " ".join(_lowest(history.epochs, loss, saved, {}))


def curves(history: History, saved: float, *, alone: bool) -> Finding:
    """Describe a history.

    Args:
        history: what was recorded.
        saved: the epoch whose weights are used, as the history counts it.
        alone: no answers per example were given beside it.
    """
    sentences, evidence = [f"Read as {history.kind}: {len(history.epochs)} epochs."], dict[str, float]()
    loss, train, accuracy = (history.values(name) for name in ("val_loss", "train_loss", "val_accuracy"))
    if loss is not None:
        sentences += _lowest(history.epochs, loss, saved, evidence)
    if loss is not None and train is not None:
        sentences += _difference(history, train, loss, saved, evidence)
    if accuracy is not None:
        sentences += _highest(history.epochs, accuracy, saved, evidence)
    if loss is None and accuracy is None:
        sentences.append(
            "No validation loss and no validation accuracy was logged, so that overfitting cannot even be described."
        )
    if alone:
        sentences.append(
            "These are descriptions: a history has one number for each epoch, so that no interval can be given and no flag is raised."
        )
    told: Evidence = {"format": history.kind, "epochs": len(history.epochs), **evidence}
    return CURVES.answer("info", " ".join(sentences), 0, evidence=told)


def _lowest(epochs: Floats, loss: Floats, saved: float, evidence: dict[str, float]) -> list[str]:
    unknown = int((~np.isfinite(loss)).sum())
    sentences = [f"The validation loss has no finite value in {unknown} of them."] if unknown else []
    if unknown == len(loss):
        return sentences
    best, now = int(np.nanargmin(np.where(np.isfinite(loss), loss, np.nan))), float(loss[epochs == saved][0])
    evidence |= {"epoch_of_lowest_val_loss": float(epochs[best]), "lowest_val_loss": float(loss[best])}
    sentence = f"Validation loss is lowest at epoch {epochs[best]:g} ({loss[best]:.4f})"
    if epochs[best] == saved:
        return [*sentences, f"{sentence}, which is the saved one."]
    if not np.isfinite(now):
        return [*sentences, f"{sentence} and has no finite value at the saved epoch {saved:g}."]
    evidence |= {"val_loss_of_saved_epoch": now, "rise_since_lowest_val_loss": now - float(loss[best])}
    return [*sentences, f"{sentence} and {now - loss[best]:.4f} higher at the saved epoch {saved:g} ({now:.4f})."]


def _highest(epochs: Floats, accuracy: Floats, saved: float, evidence: dict[str, float]) -> list[str]:
    now = float(accuracy[epochs == saved][0])
    best = int(np.flatnonzero(epochs == saved)[0]) if now == np.nanmax(accuracy) else int(np.nanargmax(accuracy))
    evidence |= {"epoch_of_highest_val_accuracy": float(epochs[best]), "highest_val_accuracy": float(accuracy[best])}
    sentence = f"Validation accuracy is highest at epoch {epochs[best]:g} ({percent(accuracy[best])})"
    if epochs[best] == saved or not np.isfinite(now):
        return [f"{sentence}{', the saved one' if epochs[best] == saved else ''}."]
    return [f"{sentence} and {percent(now)} at the saved epoch {saved:g}."]


def _difference(history: History, train: Floats, loss: Floats, saved: float, evidence: dict[str, float]) -> list[str]:
    at = history.epochs == saved
    difference = float((loss - train)[at][0])
    if not np.isfinite(difference):
        return []
    evidence["val_minus_train_loss"] = difference
    side = "above" if difference >= 0 else "below"
    sentences = [f"There, the validation loss is {abs(difference):.4f} {side} the training loss."]
    if history.kind in (LIGHTNING, HUGGING_FACE):
        sentences.append(
            "In such a log the training loss is usually an average over the steps of training, with dropout and augmentation, so that "
            "this difference is no generalization gap."
        )
    return sentences


def epochs_apart(records: Records, half: Bools, saved: int, limits: Limits) -> Finding:
    """Compare the saved epoch (from 0) with the best one by the losses of each validation example, halves (N,)."""
    loss, correct, n = records.loss, records.correct, len(records.labels)
    if loss is None or correct is None or len(loss) < 2 or n < SMALLEST:
        return EPOCHS.not_run(f"Comparing epochs needs the losses of two epochs on {SMALLEST} examples or more.", n)
    raw, spread, wrong, other = np.zeros(n), np.zeros(n), ~correct[saved], ~correct[saved]
    chosen = []
    for score in (half, ~half):
        best = int(loss[:, ~score].mean(axis=1).argmin())
        rival = best if best != saved else strongest_rival(loss[:, ~score], saved)
        raw[score], spread[score] = loss[saved, score] - loss[best, score], loss[saved, score] - loss[rival, score]
        other[score] = ~correct[best, score]
        chosen.append(best + 1)
    harm, errors = paired_mean(raw, half, limits.confidence, spread), paired_errors(wrong, other, limits.confidence)
    first, second = sorted(chosen)
    between = f"epoch {first}" if first == second else f"epochs {first} and {second} (each the best of one half)"
    return EPOCHS.answer(
        "info",
        f"Validation log-loss at the saved epoch {saved + 1} minus that at {between} is {harm.estimate:.3f} nats "
        f"({interval(harm.low, harm.high, limits.confidence)}), and the error rate differs by {change(errors.estimate)} "
        f"({points_interval(errors.low, errors.high, limits.confidence)}), by cross-fitting on {n} examples. Whether temperature "
        "scaling would remove the difference needs probabilities or logits.",
        n,
        Estimate(harm.estimate, harm.low, harm.high, p_value=harm.p_value),
        evidence={"saved_epoch": saved + 1, "compared_with_epochs": chosen, "error_rate_increase": errors.estimate},
    )
