"""Confidence intervals of a proportion and of a mean, and the quantiles that they are made from."""

from collections.abc import Callable

import numpy as np

# scipy.stats has the same under clearer names, but takes 0.5 s to import.
from scipy.special import betaincinv, ndtri, stdtr, stdtrit

from tasks.statistics.arrays import Floats

Interval = tuple[float, float]

# The smallest standard deviation of a resample, as a share of that of the values. Where a few large values make the mean, a resample
# may hold none of them, and divided by its own tiny deviation its distance from the mean would be nearly infinite.
LEAST_SPREAD = 0.25


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


def jeffreys(successes: int, n: int, confidence: float) -> Interval:
    """Interval of a proportion that misses it about as often on either side (Brown, Cai & DasGupta 2001, section 3.1.3).

    Wilson's does not: its tails are unequal where the proportion is near 0 or 1, the more so the higher the confidence (Cai 2005).
    """
    tail = (1 - confidence) / 2
    low, high = (float(betaincinv(successes + 0.5, n - successes + 0.5, level)) for level in (tail, 1 - tail))
    return low if successes else 0.0, high if successes < n else 1.0


def newcombe(
    first: int,
    m: int,
    second: int,
    n: int,
    confidence: float,
    *,
    limits: Callable[[int, int, float], Interval] = wilson,
) -> Interval:
    """Interval of the difference second / n - first / m of two independent proportions (Newcombe 1998, method 10).

    It is made from the limits of each proportion, Wilson's or others (Zou & Donner 2008).
    """
    (low_1, high_1), (low_2, high_2) = limits(first, m, confidence), limits(second, n, confidence)
    p, q = first / m, second / n
    below, above = np.hypot(q - low_2, high_1 - p), np.hypot(high_2 - q, p - low_1)
    return float(q - p - below), float(q - p + above)


def bootstrap_mean(values: Floats, confidence: float, resamples: int, random: np.random.Generator) -> Interval:
    """Studentised bootstrap interval (bootstrap-t) of the mean of values (N,) (Efron & Tibshirani 1993, section 12.5).

    With m, s the mean and standard deviation of the values and m*, s* those of a resample, the interval is m - t * s, where t is the
    upper and the lower quantile of (m* - m) / max(s*, s / 4). It ends at the smallest and at the largest value at the latest, and equal
    values have an interval without width. How often it holds the mean: docs/decisions/a-studentised-interval-of-the-loss.md.
    """
    mean, spread = float(values.mean()), float(values.std())
    n, lowest, highest = len(values), float(values.min()), float(values.max())
    if lowest == highest or spread == 0:  # the second, where squares of the differences are too small for a number
        return lowest, highest
    centred, ratios = values - mean, np.empty(resamples)
    batch = max(1, 1_000_000 // n)  # bounds the memory
    for start in range(0, resamples, batch):
        stop = min(start + batch, resamples)
        drawn = centred[random.integers(n, size=(stop - start, n))]
        shift = drawn.mean(axis=1)
        variance = np.einsum("ij,ij->i", drawn, drawn) / n - shift**2
        ratios[start:stop] = shift / np.maximum(np.sqrt(np.maximum(variance, 0)), LEAST_SPREAD * spread)
    low, high = mean - spread * np.quantile(ratios, [(1 + confidence) / 2, (1 - confidence) / 2])
    return max(float(low), lowest), min(float(high), highest)


def chi_square_interval(degrees: int, confidence: float) -> Interval:
    """The factors by which a standard deviation with so many degrees of freedom is multiplied for the limits of its interval."""
    from scipy.special import chdtri

    tail = (1 - confidence) / 2
    return float(np.sqrt(degrees / chdtri(degrees, tail))), float(np.sqrt(degrees / chdtri(degrees, 1 - tail)))
