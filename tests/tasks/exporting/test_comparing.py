"""What may be said of a smaller model: "as good" only where the whole interval lies within the margin."""

import numpy as np
import pytest

from tasks.contracts.compressed import Difference
from tasks.exporting.comparing import Margins, error_difference, error_words, loss_difference, loss_words

MARGINS = Margins(confidence=0.95, accuracy=0.02, nats=0.05, resamples=2000, seed=0)


def wrong(only_smaller: int, only_original: int, both: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors (N,) of the smaller model and of the original."""
    smaller, original = np.zeros(n, bool), np.zeros(n, bool)
    smaller[:only_smaller] = original[only_smaller : only_smaller + only_original] = True
    smaller[-both:] = original[-both:] = True
    return smaller, original


@pytest.mark.parametrize(
    ("only_smaller", "only_original", "n", "within"),
    [
        (0, 0, 1000, True),
        (0, 0, 100, False),
        (5, 5, 1000, True),
        (30, 10, 1000, False),
        (4, 4, 300, False),
        (100, 10, 1000, False),
    ],
)
def test_equal_accuracy_is_not_enough_where_there_are_too_few_images(
    only_smaller: int, only_original: int, n: int, within: bool
) -> None:
    found = error_difference(*wrong(only_smaller, only_original, 3, n), MARGINS)
    assert found.estimate == pytest.approx((only_smaller - only_original) / n)
    assert found.low <= found.estimate <= found.high
    assert found.within_margin == (found.high < 0.02) == within


def test_a_model_that_is_worse_by_the_margin_passes_in_at_most_the_stated_share_of_samples() -> None:
    """Non-inferiority is claimed falsely with at most half of 1 - confidence."""
    random = np.random.default_rng(0)
    passed = []
    for counts in random.multinomial(2000, [0.03, 0.01, 0.96], size=1000):  # the error rate is higher by exactly 0.02
        smaller, original = np.zeros(2000, bool), np.zeros(2000, bool)
        smaller[: counts[0]] = True
        original[counts[0] : counts[0] + counts[1]] = True
        passed.append(error_difference(smaller, original, MARGINS).within_margin)
    assert 0.01 < np.mean(passed) < 0.04


def test_the_difference_in_log_loss_is_paired() -> None:
    random = np.random.default_rng(1)
    original = random.exponential(1.0, 500)  # far more spread than what differs
    found = loss_difference(original + random.normal(0.01, 0.01, 500), original, MARGINS)
    assert found.low < 0.01 + 0.001
    assert found.high - found.low < 0.004
    assert found.within_margin
    assert loss_difference(original, original, MARGINS) == Difference(estimate=0, low=0, high=0, within_margin=True)


@pytest.mark.parametrize(
    ("estimate", "low", "high", "begins"),
    [
        (0.002, -0.005, 0.010, "As accurate as the original within 2 percentage points: its error rate differs by +0.2 points"),
        (0.010, 0.003, 0.018, "As accurate as the original within 2"),
        (0.004, -0.010, 0.025, "Not shown to be as accurate as the original within 2"),
        (-0.01, -0.04, 0.021, "Not shown to be as accurate as the original within 2"),
        (0.010, 0.003, 0.024, "Less accurate than the original: its error rate differs by +1.0 points (95 % interval +0.3 to +2.4)"),
    ],
)  # fmt: skip
def test_words_about_the_accuracy(estimate: float, low: float, high: float, begins: str) -> None:
    found = Difference(estimate=estimate, low=low, high=high, within_margin=high < 0.02)
    assert error_words(found, MARGINS).startswith(begins)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.01, 0.03, "Its log-loss is as low within 0.05 nats: +0.020 nats (−0.010 to +0.030)."),
        (-0.01, 0.06, "Its log-loss is not shown to be as low within 0.05 nats: +0.020 nats (−0.010 to +0.060)."),
        (0.01, 0.06, "Its log-loss is higher: +0.020 nats (+0.010 to +0.060)."),
    ],
)
def test_words_about_the_log_loss(low: float, high: float, words: str) -> None:
    assert loss_words(Difference(estimate=0.02, low=low, high=high, within_margin=high < 0.05), MARGINS) == words
