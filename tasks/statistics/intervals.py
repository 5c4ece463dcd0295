"""Confidence intervals of a proportion and of a mean, and the quantiles that they are made from."""

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit  # scipy.stats has the same under clearer names, but takes 0.5 s to import

from tasks.statistics.arrays import Floats

Interval = tuple[float, float]


def quantile(probability: float, degrees: float = np.inf) -> float:
    """Quantile of the normal distribution, or of Student's t with `degrees` degrees of freedom."""
    return float(ndtri(probability) if degrees == np.inf else stdtrit(degrees, probability))


def exceedance(statistic: float, degrees: float) -> float:
    """Probability that Student's t with `degrees` degrees of freedom exceeds `statistic`."""
    return float(stdtr(degrees, -statistic))


def wilson(successes: int, n: int, confidence: float) -> Interval:
    """Interval of a proportion (Wilson 1927); n must be at least 1."""
    z, share = quantile((1 + confidence) / 2), successes / n
    centre, width = share + z**2 / (2 * n), z * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    low, high = (centre - width) / (1 + z**2 / n), (centre + width) / (1 + z**2 / n)
    return low if successes else 0.0, high if successes < n else 1.0


def newcombe(first: int, m: int, second: int, n: int, confidence: float) -> Interval:
    """Interval of the difference second / n - first / m of two independent proportions (Newcombe 1998, method 10)."""
    (low_1, high_1), (low_2, high_2) = wilson(first, m, confidence), wilson(second, n, confidence)
    p, q = first / m, second / n
    below, above = np.hypot(q - low_2, high_1 - p), np.hypot(high_2 - q, p - low_1)
    return float(q - p - below), float(q - p + above)


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


def chi_square_interval(degrees: int, confidence: float) -> Interval:
    """The factors by which a standard deviation with so many degrees of freedom is multiplied for the limits of its interval."""
    from scipy.special import chdtri

    tail = (1 - confidence) / 2
    return float(np.sqrt(degrees / chdtri(degrees, tail))), float(np.sqrt(degrees / chdtri(degrees, 1 - tail)))
