"""How alike two pictures are, against scipy and against formulas."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from tasks.statistics.similarity import rank_correlation, structural_similarity

RANDOM = np.random.default_rng(0)


def test_the_rank_correlation_is_spearmans_with_ties() -> None:
    one, other = RANDOM.integers(0, 9, (12, 12)).astype(float), RANDOM.random((12, 12))
    other += one
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)


def test_the_rank_correlation_of_a_constant_is_not_defined() -> None:
    assert rank_correlation(np.ones((3, 3)), RANDOM.random((3, 3))) is None


def test_a_monotonous_change_leaves_the_rank_correlation_at_one() -> None:
    one = RANDOM.random((6, 6))
    assert rank_correlation(one, one**3) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)


def test_a_picture_is_like_itself_and_unlike_its_inverse() -> None:
    one = RANDOM.random((16, 20))
    same, inverse = structural_similarity(one, one), structural_similarity(one, 1 - one)
    assert same == pytest.approx(1)
    assert inverse is not None
    assert inverse < -0.5


def test_the_structural_similarity_of_one_window_is_the_formula() -> None:
    one, other = RANDOM.random((7, 7)), RANDOM.random((7, 7))
    c1, c2 = 0.01**2, 0.03**2
    covariance = ((one - one.mean()) * (other - other.mean())).mean()
    means = (2 * one.mean() * other.mean() + c1) / (one.mean() ** 2 + other.mean() ** 2 + c1)
    expected = means * (2 * covariance + c2) / (one.var() + other.var() + c2)
    assert structural_similarity(one, other) == pytest.approx(expected)


@pytest.mark.parametrize(("shape", "known"), [((8, 8), True), ((4, 9), True), ((3, 3), True), ((2, 9), False), ((1, 3), False)])
def test_small_pictures_have_a_smaller_window_or_none(shape: tuple[int, int], known: bool) -> None:
    found = structural_similarity(np.full(shape, 0.5), np.full(shape, 0.5))
    assert (found == pytest.approx(1)) if known else found is None
