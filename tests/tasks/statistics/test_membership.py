"""The ROC curve of the membership attack against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import auc, roc_curve

from tasks.statistics.membership import lower_probability, roc


@pytest.mark.parametrize("ties", [False, True])
def test_with_a_point_for_every_loss_it_is_scikit_learns_and_its_area_is_the_probability(ties: bool) -> None:
    random = np.random.default_rng(0)
    members, others = random.exponential(1.0, 300), random.exponential(1.6, 200)
    if ties:
        members, others = members.round(1), others.round(1)
    false, true = roc(members, others, points=300)
    scores, called = -np.concatenate([members, others]), np.repeat([1, 0], [300, 200])
    expected_false, expected_true, _ = roc_curve(called, scores, drop_intermediate=False)
    assert set(zip(false, true, strict=True)) == set(zip(expected_false, expected_true, strict=True))
    assert auc(false, true) == pytest.approx(lower_probability(members, others, 0.95).estimate, abs=1e-12)


@pytest.mark.parametrize("others", [[0.5] * 50, [1.0, 2.0]])
def test_an_attack_that_is_always_right_has_the_whole_area(others: list[float]) -> None:
    assert auc(*roc(np.full(50, 0.1), np.array(others), points=20)) == 1


def test_a_few_points_begin_with_no_one_and_end_with_everyone() -> None:
    random = np.random.default_rng(1)
    false, true = roc(random.random(1000), random.random(1000), points=20)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert len(false) <= 42
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
