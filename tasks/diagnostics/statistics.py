"""Estimates, intervals and tests that the evaluation and the checks share. Losses in nats, accuracies in [0, 1]."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, ndtri, stdtr, stdtrit  # scipy.stats has the same under kinder names, and takes 0.5 s to import

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Interval = tuple[float, float]

# Each use of random numbers has a stream of its own, so that a new one does not move the others.
BOOTSTRAP, HALVES = 1, 2


def generator(seed: int, stream: int) -> np.random.Generator:
    """The random numbers of one use, from the seed of params.yaml."""
    return np.random.default_rng([seed, stream])


def log_softmax(logits: NDArray[np.floating]) -> Floats:
    """Log-probabilities (..., K) of logits (..., K), in float64: finite where a probability rounds to 0."""
    wide = np.asarray(logits, dtype=np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def log_losses(logits: NDArray[np.floating], labels: Ints) -> Floats:
    """Cross-entropy of each example in nats: logits (N, K), labels (N,) to (N,)."""
    result: Floats = -np.take_along_axis(log_softmax(logits), labels[:, None], axis=-1)[:, 0]
    return result


def wilson(successes: int, n: int, confidence: float) -> Interval:
    """Interval of a proportion (Wilson 1927); n must be at least 1."""
    z, share = quantile((1 + confidence) / 2), successes / n
    centre, width = share + z**2 / (2 * n), z * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    low, high = (centre - width) / (1 + z**2 / n), (centre + width) / (1 + z**2 / n)
    return low if successes else 0.0, high if successes < n else 1.0


def bootstrap_mean(values: Floats, confidence: float, resamples: int, random: np.random.Generator) -> Interval:
    """Percentile bootstrap interval of the mean of values (N,) (Efron & Tibshirani 1993, chapter 13)."""
    n = len(values)
    means = np.empty(resamples)
    batch = max(1, 1_000_000 // n)  # bounds the memory
    for start in range(0, resamples, batch):
        stop = min(start + batch, resamples)
        means[start:stop] = values[random.integers(n, size=(stop - start, n))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def quantile(probability: float, degrees: float = np.inf) -> float:
    """Quantile of the normal distribution, or of Student's t with so many degrees of freedom."""
    return float(ndtri(probability) if degrees == np.inf else stdtrit(degrees, probability))


def exceedance(statistic: float, degrees: float) -> float:
    """Probability that Student's t with so many degrees of freedom is larger than `statistic`."""
    return float(stdtr(degrees, -statistic))


def detectable(error: float, alpha: float, power: float, sides: int = 1) -> float:
    """Minimum detectable effect: (z_{1-alpha/sides} + z_{power}) times the standard error `error`, in its unit."""
    return (quantile(1 - alpha / sides) + quantile(power)) * error


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: all that are at most alpha may be rejected, with a family-wise error of alpha (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, p_values[position] * (len(p_values) - rank)))
        adjusted[position] = largest
    return adjusted


@dataclass(frozen=True)
class Contrast:
    """A mean difference with its standard error, two-sided interval and one-sided p-value of "not above zero"."""

    estimate: float
    error: float
    low: float
    high: float
    p_value: float


def paired_errors(first: Bools, second: Bools, confidence: float, spread: tuple[int, int] | None = None) -> Contrast:
    """Errors of `first` (N,) minus errors of `second` (N,), on the same examples, as a share of them.

    The p-value is McNemar's exact test: of the examples on which they differ, half are errors of `first` (McNemar 1947). The
    interval adds half an example to each of the four cells (Agresti & Min 2005, section 3), so that no difference seen in few
    examples is not "no difference, for certain". `spread` replaces the two counts of differing examples in the standard error.
    """
    n, worse, better = len(first), int((first & ~second).sum()), int((~first & second).sum())
    p_value = float(bdtrc(worse - 1, worse + better, 0.5))
    counts = spread or (worse, better)
    differing, excess = sum(counts) + 1, counts[0] - counts[1]
    error = float(np.sqrt(differing - excess**2 / (n + 2)) / (n + 2))
    centre, width = (worse - better) / (n + 2), quantile((1 + confidence) / 2) * error
    return Contrast((worse - better) / n, error, max(-1.0, centre - width), min(1.0, centre + width), p_value)


def advantage_limit(gains: int, losses: int, n: int, confidence: float) -> float:
    """One-sided upper limit of the paired advantage (gains - losses) / n: the largest that the score test does not reject.

    Of n examples `gains` are right in the first of two models only and `losses` in the second only (Tango 1998, section 3). Unlike
    an interval from the standard error it holds for few differing examples: with none of n its limit is z² / (n + z²).
    """
    from scipy.optimize import brentq

    z = quantile(confidence)

    def excess(advantage: float) -> float:
        """The score statistic plus z, times its standard deviation: falls from above to below zero at the limit."""
        spread = advantage * (1 - advantage)
        linear = (2 * n - gains + losses) * advantage - gains - losses
        lost = max(0.0, (np.sqrt(linear**2 + 8 * n * losses * spread) - linear) / (4 * n))  # restricted estimate of P(loss)
        return float(gains - losses - n * advantage + z * np.sqrt(n * max(0.0, 2 * lost + spread)))

    seen = (gains - losses) / n
    start = seen + 1e-9
    return 1.0 if excess(1.0) >= 0 else float(brentq(excess, start, 1.0)) if excess(start) > 0 else start


def fit_temperature(logits: NDArray[np.floating], labels: Ints) -> float:
    """The temperature T > 0 with the lowest log-loss of logits / T (Guo et al. 2017, section 4.2).

    A standard normal prior on log T, worth about one example, keeps T finite where every example is right.
    """
    from scipy.optimize import minimize_scalar

    def objective(log_temperature: float) -> float:
        losses = log_losses(logits / np.exp(log_temperature), labels)
        return float(losses.sum() + log_temperature**2 / 2)

    fit = minimize_scalar(objective, bounds=(-5, 5), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(fit.x))


@dataclass(frozen=True)
class Bin:
    """The examples whose confidence lies in (low, high]: how many, how confident on average, how many right."""

    low: float
    high: float
    n: int
    confidence: float
    correct: int


def calibration(confidences: Floats, correct: Bools, bins: int) -> list[Bin]:
    """Equally wide bins of confidence (N,), those that are empty left out (Guo et al. 2017, section 2)."""
    edges = np.arange(bins + 1) / bins
    numbers = np.searchsorted(edges[1:-1], confidences, side="left")
    return [
        Bin(float(edges[k]), float(edges[k + 1]), int(own.sum()), float(confidences[own].mean()), int(correct[own].sum()))
        for k in range(bins)
        if (own := numbers == k).any()
    ]


def calibration_error(table: Sequence[Bin]) -> float:
    """ECE: sum over bins of n_b / n · |accuracy_b - confidence_b| (Guo et al. 2017, equation 3)."""
    n = sum(row.n for row in table)
    return float(sum(row.n / n * abs(row.correct / row.n - row.confidence) for row in table))
