"""The mean of values that differ by seed and by example, with both kinds of chance in its interval."""

import numpy as np

from tasks.statistics.arrays import Floats
from tasks.statistics.comparisons import Contrast, mean_difference
from tasks.statistics.intervals import exceedance, quantile


def crossed_mean(values: Floats, confidence: float) -> Contrast:
    """Mean of values (S, N), one for each of S trainings and each of N examples, with its interval for new seeds and new examples.

    Trainings and examples are crossed random effects: every training answers for every example. With the mean squares of rows A, of
    columns B and of what is left E, the variance of the mean is (A + B − E) / SN, with Satterthwaite's degrees of freedom (Searle,
    Casella & McCulloch 1992, section 4.3; the same form compares readers over cases: Dorfman, Berbaum & Metz 1992). Where that is
    less than A / SN or B / SN, as it can be by chance, the larger of the two takes its place.

    With one training there is only the chance of the examples, and the interval is that of `mean_difference`.
    """
    seeds, n = values.shape
    if seeds == 1:
        return mean_difference(values[0], confidence)
    estimate = float(values.mean())
    by_seed, by_example = values.mean(axis=1), values.mean(axis=0)
    left = values - by_seed[:, None] - by_example[None, :] + estimate
    of_seeds = n * float(by_seed.var(ddof=1))
    of_examples = seeds * float(by_example.var(ddof=1))
    of_rest = float((left**2).sum()) / ((seeds - 1) * (n - 1))
    total = of_seeds + of_examples - of_rest
    if total <= max(of_seeds, of_examples):
        total, degrees = max((of_seeds, seeds - 1), (of_examples, n - 1))
    else:
        squares = of_seeds**2 / (seeds - 1) + of_examples**2 / (n - 1) + of_rest**2 / ((seeds - 1) * (n - 1))
        degrees = total**2 / squares
    error = float(np.sqrt(total / (seeds * n)))
    if error == 0:
        return Contrast(estimate, 0.0, estimate, estimate, 0.0 if estimate > 0 else 1.0)
    width = quantile((1 + confidence) / 2, degrees) * error
    return Contrast(estimate, error, estimate - width, estimate + width, exceedance(estimate / error, degrees))
