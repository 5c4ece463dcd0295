"""Probabilities from logits: log-loss, temperature scaling, and the calibration error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from tasks.statistics.arrays import Bools, Floats, Ints

WIDEST = 5.0  # |log T| is searched up to here: T from 0.0067 to 148
NEAR = 1e-3  # so close to the limit, in log T, the search ended there


def log_probabilities(logits: NDArray[np.floating]) -> Floats:
    """Log-probabilities (..., K) of logits (..., K), in float64: finite where a probability rounds to 0."""
    result: Floats = log_softmax(np.asarray(logits, dtype=np.float64), axis=-1)
    return result


def log_losses(logits: NDArray[np.floating], labels: Ints) -> Floats:
    """Cross-entropy of each example in nats: logits (N, K), labels (N,) to (N,)."""
    result: Floats = -np.take_along_axis(log_probabilities(logits), labels[:, None], axis=-1)[:, 0]
    return result


def frequency_losses(known: Ints, labels: Ints, classes: int) -> Floats:
    """Log-loss (N,) in nats of stating for each of `labels` (N,) how frequent its class is in `known`, of K classes.

    One example is added to each class, so that none has an infinite loss.
    """
    counts = np.bincount(known, minlength=classes) + 1
    result: Floats = -np.log(counts / counts.sum())[labels]
    return result


def fit_temperature(logits: NDArray[np.floating], labels: Ints) -> float:
    """The temperature T > 0 with the lowest log-loss of logits / T (Guo et al. 2017, section 4.2).

    A standard normal prior on log T, worth about one example, keeps T finite where every example is right.
    It is searched between two limits; where it ends at one of them, `unfitted` says so.
    """
    from scipy.optimize import minimize_scalar

    def objective(log_temperature: float) -> float:
        losses = log_losses(logits / np.exp(log_temperature), labels)
        return float(losses.sum() + log_temperature**2 / 2)

    fit = minimize_scalar(objective, bounds=(-WIDEST, WIDEST), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(fit.x))


def unfitted(temperature: float) -> str | None:
    """Why a `temperature` that a fit ended at is none: it is a limit of the search. None where the fit found one between the limits."""
    if abs(np.log(temperature)) < WIDEST - NEAR:
        return None
    end, size = ("largest", "large") if temperature > 1 else ("smallest", "small")
    return (
        f"The log-loss still falls at the {end} temperature that is searched, {np.exp(np.copysign(WIDEST, np.log(temperature))):.3g}, "
        f"so no temperature was found: the logits are far too {size}. Check the scale of the model's last layer and of its inputs, and "
        "whether training diverged."
    )


@dataclass(frozen=True)
class Bin:
    """The examples whose confidence lies in (low, high]: their number, their mean confidence, and how many are right."""

    low: float
    high: float
    n: int
    confidence: float
    correct: int


def calibration(confidences: Floats, correct: Bools, bins: int) -> list[Bin]:
    """Equally wide bins of confidence (N,), without the empty ones (Guo et al. 2017, section 2)."""
    edges, numbers = np.arange(bins + 1) / bins, _bins(confidences, bins)
    return [
        Bin(float(edges[k]), float(edges[k + 1]), int(own.sum()), float(confidences[own].mean()), int(correct[own].sum()))
        for k in range(bins)
        if (own := numbers == k).any()
    ]


def _bins(confidences: Floats, bins: int) -> Ints:
    """The number of the bin of each confidence (N,), from 0."""
    return np.searchsorted(np.arange(1, bins) / bins, confidences, side="left")


def calibration_error(table: Sequence[Bin]) -> float:
    """ECE: sum over bins of n_b / n · |accuracy_b - confidence_b| (Guo et al. 2017, equation 3)."""
    n = sum(row.n for row in table)
    return float(sum(row.n / n * abs(row.correct / row.n - row.confidence) for row in table))


def calibration_error_interval(
    confidences: Floats, correct: Bools, bins: int, *, confidence: float, resamples: int, random: np.random.Generator
) -> tuple[float, float]:
    """Percentile bootstrap interval of the ECE of confidences (N,).

    The ECE is biased upwards, and its bootstrap more so: even a perfectly calibrated model has an interval above zero (Kumar et al.
    2019, section 5). It describes; to show that a model is miscalibrated takes another test.
    """
    n = len(confidences)
    own = np.equal.outer(_bins(confidences, bins), np.arange(bins)) * (correct - confidences)[:, None]  # (N, B)
    errors = [np.abs(np.bincount(random.integers(n, size=n), minlength=n) @ own).sum() / n for _ in range(resamples)]
    low, high = np.quantile(errors, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
