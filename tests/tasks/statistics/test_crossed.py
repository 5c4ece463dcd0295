"""The interval of a mean over crossed seeds and examples."""

import numpy as np
import pytest

from tasks.statistics.crossed import crossed_mean


@pytest.mark.parametrize(
    ("by_seed", "by_example", "left"), [(0.0, 1.0, 1.0), (0.2, 1.0, 1.0), (1.0, 0.2, 0.5), (0.0, 0.0, 1.0)]
)
def test_the_interval_covers_where_seeds_examples_or_both_differ(by_seed: float, by_example: float, left: float) -> None:
    random, covered, repetitions = np.random.default_rng(0), 0, 500
    for _ in range(repetitions):
        values = random.normal(0, by_seed, (3, 1)) + random.normal(0, by_example, (1, 100)) + random.normal(0, left, (3, 100))
        found = crossed_mean(values, 0.95)
        covered += found.low <= 0 <= found.high
    # 0.93 to 0.98 in 1500 repetitions; three standard errors of 500 around it.
    assert 0.90 <= covered / repetitions <= 1.0


def test_equal_examples_leave_the_interval_of_the_seeds() -> None:
    values = np.repeat([[0.0], [1.0], [2.0]], 50, axis=1)
    found = crossed_mean(values, 0.95)
    # Student's t with 2 degrees of freedom: 4.303 standard errors of 1 / sqrt(3).
    assert (found.low, found.high) == pytest.approx((1 - 4.3027 / 3**0.5, 1 + 4.3027 / 3**0.5), abs=1e-3)


def test_one_training_has_the_interval_of_its_examples() -> None:
    found = crossed_mean(np.array([[0.0, 1.0, 2.0]]), 0.95)
    assert (found.low, found.high) == pytest.approx((1 - 4.3027 / 3**0.5, 1 + 4.3027 / 3**0.5), abs=1e-3)


def test_without_any_difference_there_is_no_width() -> None:
    found = crossed_mean(np.zeros((3, 10)), 0.95)
    assert (found.estimate, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
