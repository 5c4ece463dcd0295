from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contracts.splits import Arrays
from tasks.diagnostics.checks import gap
from tasks.statistics.intervals import newcombe
from tests.tasks.diagnostics.worlds import LIMITS, measured


def fit_logistic(inputs: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Maximum likelihood by Newton's method: inputs (N, D), labels (N,) in {0, 1}, to weights (D,)."""
    weights = np.zeros(inputs.shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-inputs @ weights))
        weights += np.linalg.solve((inputs.T * (p * (1 - p))) @ inputs, inputs.T @ (labels - p))
    return weights


def two_logits(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.stack([np.zeros_like(scores), scores], axis=1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "expected"), [(1000, 0.010), (400, 0.025)])
def test_gap_of_a_well_specified_logistic_regression_is_parameters_over_rows(n: int, expected: float) -> None:
    d, random = 10, np.random.default_rng(n)
    frame = measured(np.zeros((1, 0, 2), dtype=np.float32), np.zeros(0, dtype=np.int64), n=10)
    gaps, covered = [], 0
    for _ in range(400):
        inputs = random.normal(size=(n + 4000, d))
        labels = (random.random(n + 4000) < 1 / (1 + np.exp(-0.3 * inputs.sum(axis=1)))).astype(np.int64)
        scores = two_logits(inputs @ fit_logistic(inputs[:n], labels[:n]))
        train, test = (Arrays(frame.train.images, part, np.arange(len(part))) for part in (labels[:n], labels[n:]))
        world = replace(
            frame, train=train, test=test, train_index=np.arange(n), train_logits=scores[:n], test_logits=scores[n:]
        )
        found = gap.check(world, LIMITS, gap.Settings())
        assert found.estimate is not None
        assert found.ci_low is not None
        gaps.append(found.estimate)
        covered += found.ci_low > 0
    print(f"gap {np.mean(gaps):.4f}, expected {expected}; 'significantly above zero' in {covered / 400:.3f} of good models")
    assert np.mean(gaps) == pytest.approx(expected, abs=float(4 * np.std(gaps) / 20 + 0.1 * expected))
    assert np.mean(gaps) > 2 * np.std(gaps) / 20


def test_gap_in_accuracy_has_the_published_interval() -> None:
    # Newcombe 1998, example (a): 56/70 minus 48/80.
    assert newcombe(48, 80, 56, 70, 0.95) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_without_recorded_train_rows_the_gap_is_not_run() -> None:
    world = measured(np.zeros((1, 0, 3), dtype=np.float32), np.zeros(0, dtype=np.int64), n=10)
    none = replace(world, train_index=world.train_index[:0], train_logits=world.train_logits[:0])
    found = gap.check(none, LIMITS, gap.Settings())
    assert (found.status, found.estimate) == ("not_run", None)
