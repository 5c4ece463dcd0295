"""What more data would bring, from trainings on parts of the data: a power law through the gains of each doubling."""

import numpy as np

from tasks.statistics.arrays import Floats
from tasks.statistics.intervals import Interval, quantile

RATIOS = np.linspace(0.0, 1.0, 201)


def next_gain(gains: Floats) -> float:
    """The gain of the next doubling, given those of the doublings so far (K,), oldest first.

    A loss that follows a power law of the number of examples n, a n^−b + c (Hestness et al. 2017), falls with each doubling by 2^−b
    times as much as with the one before, whatever the limit c is. So g₁ q^k is fitted by least squares, with q from 0 to 1: along the
    fitted curve more data never bring more than the data before them did.
    """
    powers = RATIOS[:, None] ** np.arange(len(gains))
    first = (powers @ gains) / (powers**2).sum(axis=1)
    misfit = ((gains - first[:, None] * powers) ** 2).sum(axis=1)
    best = int(misfit.argmin())
    return float(first[best] * RATIOS[best] ** len(gains))


def next_gain_interval(gains: Floats, confidence: float, resamples: int, random: np.random.Generator) -> Interval:
    """Interval of `next_gain` for gains (K, S, N) of K doublings, S trainings and N examples.

    Trainings and examples differ independently. The standard error over either is that of resamples of it alone; that over S trainings
    counts √(S / (S − 1)) times, as the resamples of a few have too small a variance, and has Student's quantile.
    """
    _, seeds, n = gains.shape
    by_seed, by_example = np.empty(resamples), np.empty(resamples)
    of_seeds, of_examples = gains.mean(axis=2), gains.mean(axis=1)
    for number in range(resamples):
        by_seed[number] = next_gain(of_seeds[:, random.integers(seeds, size=seeds)].mean(axis=1))
        by_example[number] = next_gain(of_examples @ random.multinomial(n, np.full(n, 1 / n)) / n)
    level = (1 + confidence) / 2
    of_trainings = quantile(level, seeds - 1) * np.sqrt(seeds / (seeds - 1)) * by_seed.std(ddof=1)
    width = float(np.hypot(of_trainings, quantile(level) * by_example.std(ddof=1)))
    expected = next_gain(gains.mean(axis=(1, 2)))
    return expected - width, expected + width
