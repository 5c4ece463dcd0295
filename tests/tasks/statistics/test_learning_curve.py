"""The gain of the next doubling of the data."""

import numpy as np
import pytest

from tasks.statistics.learning_curve import next_gain, next_gain_interval


@pytest.mark.parametrize(("power", "limit"), [(0.5, 0.0), (0.3, 0.2), (1.0, 0.1)])
def test_a_power_law_is_continued(power: float, limit: float) -> None:
    losses = 3.0 * np.array([1, 2, 4, 8, 16.0]) ** -power + limit
    gains = -np.diff(losses)
    assert next_gain(gains[:3]) == pytest.approx(gains[3], rel=0.02)


def test_gains_that_grow_are_taken_as_constant() -> None:
    assert next_gain(np.array([0.1, 0.2, 0.4])) <= 0.4


@pytest.mark.parametrize("by_seed", [0.02, 0.05])
def test_the_interval_covers_the_gain_of_a_noisy_power_law(by_seed: float) -> None:
    """Three trainings of each size, as many as a pilot has at least, and losses that two gains share."""
    random, covered, repetitions = np.random.default_rng(0), 0, 100
    losses = np.array([1, 2, 4, 8, 16.0]) ** -0.5
    for _ in range(repetitions):
        noisy = losses[:4, None, None] + random.normal(0, by_seed, (4, 3, 1)) + random.normal(0, 0.3, (4, 1, 200))
        low, high = next_gain_interval(-np.diff(noisy, axis=0), 0.95, 200, random)
        covered += low <= losses[3] - losses[4] <= high
    assert covered / repetitions >= 0.9
