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
    """Interval of the ECE that the same bins have on new examples, from confidences (N,) and whether each answer is right (N,).

    The ECE is biased upwards, and a resample's more so: of a calibrated model, every percentile interval lies above the truth (Kumar
    et al. 2019, section 5). With d_b the excess of the correct in a bin over the confident, as a share of all, the ECE is Σ |d_b|, and
    Σ |d*_b - d_b| of a resample says how far chance moves the bins. By the triangle inequality, no more than that lies between the ECE
    and its expectation: the lower limit is the ECE minus the upper quantile of this distance, and not below zero. A resample of
    answers that are all right hardly moves, so the distance is at least the upper quantile of the ECE that a calibrated model with
    these confidences has by chance (Bröcker and Smith 2007). The lower limit of a calibrated model is hence zero with a probability of
    (1 + `confidence`) / 2 or more, apart from the error of the `resamples`.

    The upper limit is the upper quantile of the resamples' ECE, each with the mistakes added that a sample may lack: their number is
    exponential with a mean of one, as in the upper limit of Clopper and Pearson (1934) where no answer is wrong, and each moves the
    ECE by at most 1 / N. It is rather too high.

    Where the model is not calibrated, both limits are approximate; the confidence is reached in all cases that were measured
    (docs/decisions/the-interval-of-the-calibration-error.md). Binning hides some of the error, so that the calibration error
    without bins is no smaller (Kumar et al. 2019, proposition 3.3).
    """
    n, numbers, level = len(confidences), _bins(confidences, bins), (1 + confidence) / 2
    own = np.equal.outer(numbers, np.arange(bins)) * (correct - confidences)[:, None]  # (N, B)
    excess = np.stack([np.bincount(random.integers(n, size=n), minlength=n) @ own / n for _ in range(resamples)])  # (R, B)
    lacking = random.standard_exponential(resamples) / n
    calibrated = (random.random(n) < confidences for _ in range(resamples))
    chance = np.stack([np.bincount(numbers, right - confidences, bins) / n for right in calibrated])  # (R, B)
    seen = own.mean(axis=0)
    moved = max(float(np.quantile(np.abs(shift).sum(axis=1), level)) for shift in (excess - seen, chance))
    return max(0.0, float(np.abs(seen).sum()) - moved), float(np.quantile(np.abs(excess).sum(axis=1) + lacking, level))
