"""How optimistic the best of several scores on the same examples is."""

import numpy as np

from tasks.statistics.arrays import Bools, Floats
from tasks.statistics.comparisons import Contrast
from tasks.statistics.intervals import exceedance, quantile

SPLITS, GROUPS = 30, 20
LARGEST = 1e30  # in place of a loss that is not finite


def optimism(correct: Bools, loss: Floats, confidence: float, random: np.random.Generator) -> Contrast:
    """How much higher the accuracy of the chosen one of E evaluations (E, N) is than the accuracy of the same choice on other examples.

    The evaluation with the lowest mean of `loss` (E, N) is chosen; a loss that is not finite counts as a very large one.
    Cross-fitting: the evaluation that is best on one half of the examples is scored on both; its score there minus its score on the
    other half is the optimism of choosing on N / 2 examples, averaged over both halves of `SPLITS` random divisions. It is divided by
    √2, because for equally good evaluations optimism falls with the root of the number of examples; where one is far better than the
    others, both are near zero. Scores are relative to the mean of all evaluations, so that the halves may differ in difficulty.

    The standard error is that of the jackknife over `GROUPS` groups of examples, which is biased upwards (Efron & Stein 1981). N is at
    least twice `GROUPS`.
    """
    n = correct.shape[1]
    relative = correct - correct.mean(axis=0)
    halves = np.stack([random.permutation(n) % 2 == 0 for _ in range(SPLITS)], axis=1).astype(np.float64)  # (N, S)
    group = random.permutation(n) % GROUPS
    losses = np.nan_to_num(loss.astype(np.float64), nan=LARGEST, posinf=LARGEST)
    estimate = _mean_optimism(relative, losses, halves)
    without = np.array(
        [_mean_optimism(relative[:, group != own], losses[:, group != own], halves[group != own]) for own in range(GROUPS)]
    )
    error = float(np.sqrt((GROUPS - 1) / GROUPS * ((without - without.mean()) ** 2).sum()))
    width = quantile((1 + confidence) / 2, GROUPS - 1) * error
    p_value = exceedance(estimate / error, GROUPS - 1) if error > 0 else float(estimate <= 0)
    return Contrast(estimate, error, estimate - width, estimate + width, p_value)


def _mean_optimism(relative: Floats, loss: Floats, halves: Floats) -> float:
    """Relative scores and losses (E, N), and the indicators of the halves (N, S)."""
    one, other = (relative @ part / part.sum(axis=0) for part in (halves, 1 - halves))  # (E, S)
    splits = np.arange(halves.shape[1])
    first, second = (loss @ halves).argmin(axis=0), (loss @ (1 - halves)).argmin(axis=0)
    excess = (one - other)[first, splits] + (other - one)[second, splits]
    return float(excess.mean() / 2 / np.sqrt(2))


def optimism_of_equal_runs(accuracy: float, runs: int, n: int) -> float:
    """Expected optimism of the best of `runs` independent, equally good runs on n examples: σ z / √n with σ² = a (1 - a).

    z is the expected largest of `runs` standard normal numbers, Φ⁻¹((m - 0.375) / (m + 0.25)) (Blom 1958): 0 for a single run. The
    runs of one training, and of models that err alike, are not independent: theirs is smaller.
    """
    spread = float(np.sqrt(accuracy * (1 - accuracy) / n))
    return spread * max(0.0, quantile((runs - 0.375) / (runs + 0.25)))


def hoeffding_ceiling(runs: int, n: int, delta: float) -> float:
    """√(ln(2m / δ) / 2n): with a probability of at least 1 - δ, no accuracy of m runs on n examples is further from its expectation.

    Hoeffding 1963 with a union bound over the runs. It holds whatever was tried, if nothing was chosen by an earlier score.
    """
    return float(np.sqrt(np.log(2 * runs / delta) / (2 * n)))
