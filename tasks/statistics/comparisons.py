"""Comparing two models on the same examples: tests, intervals, detectable effects, and adjustment for several tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc

from tasks.statistics.arrays import Bools, Floats
from tasks.statistics.intervals import exceedance, quantile


@dataclass(frozen=True)
class Contrast:
    """A mean difference with its standard error, two-sided interval and one-sided p-value of "not above zero"."""

    estimate: float
    error: float
    low: float
    high: float
    p_value: float


def detectable(error: float, alpha: float, power: float, sides: int = 1) -> float:
    """Minimum detectable effect, in the unit of the standard error `error`: (z_{1-alpha/sides} + z_{power}) times `error`."""
    return (quantile(1 - alpha / sides) + quantile(power)) * error


def detectable_above(limit: float, error: float, confidence: float, power: float) -> float:
    """The smallest value whose two-sided interval lies above `limit` with probability `power`, given the standard error `error`."""
    return limit + detectable(error, 1 - confidence, power, sides=2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: rejecting those that are at most alpha keeps a family-wise error rate of alpha (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, p_values[position] * (len(p_values) - rank)))
        adjusted[position] = largest
    return adjusted


def mean_difference(values: Floats, confidence: float) -> Contrast:
    """The mean of paired differences (N,), N at least 2, with its interval.

    Hall's cubic transformation (1992, Journal of the Royal Statistical Society B 54, 221-228) takes the skewness of the values out of
    Student's statistic, so that a few large losses do not move the interval to one side; where they are symmetric, it is Student's
    interval. The p-value is that of the same statistic, so that test and interval agree. How often the interval holds the mean:
    docs/decisions/an-interval-for-skewed-differences.md.
    """
    n, estimate = len(values), float(values.mean())
    error = float(values.std(ddof=1) / np.sqrt(n))
    if error == 0:
        return Contrast(estimate, 0.0, estimate, estimate, 0.0 if estimate > 0 else 1.0)
    bend = float((((values - estimate) / values.std()) ** 3).mean() / np.sqrt(n))  # the skewness over the root of n
    upper, lower = (_bent(side * quantile((1 + confidence) / 2, n - 1), bend) for side in (1, -1))
    p_value = exceedance(_straightened(estimate / error, bend), n - 1)
    return Contrast(estimate, error, estimate - upper * error, estimate - lower * error, p_value)


def _straightened(statistic: float, bend: float) -> float:
    """Hall's transformation g of Student's statistic: nearly free of skewness."""
    return statistic + bend * statistic**2 / 3 + bend**2 * statistic**3 / 27 + bend / 6


def _bent(quantile: float, bend: float) -> float:
    """The inverse of g, which rises everywhere."""
    if abs(bend) < 1e-6:  # where the cube root would be all rounding, the statistic hardly changes
        return quantile
    return float(3 / bend * (np.cbrt(1 + bend * (quantile - bend / 6)) - 1))


def paired_errors(first: Bools, second: Bools, confidence: float, spread: tuple[int, int] | None = None) -> Contrast:
    """Error rate of `first` (N,) minus error rate of `second` (N,) on the same examples.

    The p-value is that of McNemar's exact test: under the null hypothesis, half of the examples on which the two differ are errors
    of `first` (McNemar 1947). The interval adds half an example to each of the four cells (Agresti & Min 2005, section 3), so that
    its width is not zero where no example differs. `spread` replaces the two counts of differing examples in the standard error.
    """
    n, worse, better = len(first), int((first & ~second).sum()), int((~first & second).sum())
    p_value = float(bdtrc(worse - 1, worse + better, 0.5))
    counts = spread or (worse, better)
    differing, excess = sum(counts) + 1, counts[0] - counts[1]
    error = float(np.sqrt(differing - excess**2 / (n + 2)) / (n + 2))
    centre, width = (worse - better) / (n + 2), quantile((1 + confidence) / 2) * error
    return Contrast((worse - better) / n, error, max(-1.0, centre - width), min(1.0, centre + width), p_value)


def advantage_limit(gains: int, losses: int, n: int, confidence: float) -> float:
    """One-sided upper limit of the paired advantage (gains - losses) / n: the largest value that the score test does not reject.

    Of n examples, `gains` are right only for the first of two models and `losses` only for the second (Tango 1998, section 3).
    Unlike an interval from the standard error it also holds for few differing examples: with none of n, the limit is z² / (n + z²).
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


def paired_interval(first: Bools, second: Bools, confidence: float) -> tuple[float, float]:
    """Two-sided score interval of the error rate of `first` (N,) minus that of `second` (N,) on the same examples (Tango 1998)."""
    worse, better, level = int((first & ~second).sum()), int((~first & second).sum()), (1 + confidence) / 2
    return -advantage_limit(better, worse, len(first), level), advantage_limit(worse, better, len(first), level)
