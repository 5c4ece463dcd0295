"""What is kept of an epoch's answers on validation."""

import numpy as np

from tasks.statistics.answers import answers
from tasks.statistics.calibration import fit_temperature, log_losses
from tasks.statistics.halves import stratified_halves
from tests.tasks.diagnostics.worlds import truth


def test_each_half_is_scaled_by_the_temperature_of_the_other() -> None:
    logits, labels = truth(300, 4, np.random.default_rng(0))
    half = stratified_halves(labels, np.random.default_rng(1))
    kept = answers(5 * logits, labels, half)
    for score in (half, ~half):
        temperature = fit_temperature(5 * logits[~score], labels[~score])
        assert 4 < temperature < 6.5
        np.testing.assert_array_equal(kept.scaled_loss[score], log_losses(5 * logits[score] / temperature, labels[score]))
    np.testing.assert_array_equal(kept.loss, log_losses(5 * logits, labels))
    np.testing.assert_array_equal(kept.correct, logits.argmax(axis=1) == labels)


def test_without_examples_there_are_no_answers() -> None:
    kept = answers(np.zeros((0, 3)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_))
    assert kept.loss.shape == kept.scaled_loss.shape == kept.correct.shape == (0,)
