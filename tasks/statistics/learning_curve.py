"""What more data would bring, from trainings on parts of the data: a power law through the gains of each doubling."""

import numpy as np

from tasks.statistics.arrays import Floats
from tasks.statistics.intervals import Interval

RATIOS = np.linspace(0.0, 1.0, 201)


def next_gain(gains: Floats) -> float:
    """The gain of the next doubling, given those of the doublings so far (K,), oldest first.

    A loss that follows a power law of the number of examples n, a n^−b + c (Hestness et al. 2017), falls with each doubling by 2^−b
    times as much as with the one before, whatever the limit c is. So g₁ q^k is fitted by least squares, with q from 0 to 1: more data
    never bring more than the data before them did.
    """
    powers = RATIOS[:, None] ** np.arange(len(gains))
    first = (powers @ gains) / (powers**2).sum(axis=1)
    misfit = ((gains - first[:, None] * powers) ** 2).sum(axis=1)
    best = int(misfit.argmin())
    return float(first[best] * RATIOS[best] ** len(gains))


def next_gain_interval(gains: Floats, confidence: float, resamples: int, random: np.random.Generator) -> Interval:
    """Percentile interval of `next_gain` for gains (K, S, N) of K doublings, S trainings and N examples.

    Trainings and examples are drawn independently (the pigeonhole bootstrap, Owen 2007), which is rather too wide than too narrow.
    """
    _, seeds, n = gains.shape
    found = np.empty(resamples)
    for number in range(resamples):
        chosen, weights = random.integers(seeds, size=seeds), random.multinomial(n, np.full(n, 1 / n))
        found[number] = next_gain(gains[:, chosen].mean(axis=1) @ weights / n)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
