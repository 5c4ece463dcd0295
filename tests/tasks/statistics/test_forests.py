import numpy as np
import pytest

from tasks.statistics.forests import fitted_forest


def test_a_forest_answers_the_same_to_the_bit_however_many_cores_fit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    inputs, labels = random.normal(size=(200, 5)), random.integers(3, size=200)
    answers = []
    for cores in (1, 2, 5):
        monkeypatch.setattr("tasks.statistics.forests.cores", lambda cores=cores: cores)
        forest = fitted_forest(inputs, labels, 30, seed=7, class_weight="balanced")
        assert forest.n_jobs == 1
        answers.append(forest.predict_proba(inputs))
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])
