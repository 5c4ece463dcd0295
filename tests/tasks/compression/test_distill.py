"""Distillation: a student learns what the trained model says, not only what the labels say."""

from dataclasses import replace

import pytest
import torch

from tasks.compression.distill import Settings, shrink
from tasks.core.errors import ParamsError
from tests.tasks.compression.project import accuracy, split, subject


def test_the_student_learns_from_the_model_even_where_every_label_is_wrong() -> None:
    given = subject()
    wrong = replace(given, train=replace(given.train, labels=(given.train.labels + 1) % 3))
    torch.manual_seed(0)
    made = shrink(Settings(epochs=40, label_weight=0, learning_rate=0.01), wrong)
    assert accuracy(made, split(600, 9)) > 0.9


def test_with_the_whole_weight_on_the_labels_it_learns_the_labels() -> None:
    given = subject()
    other = replace(given, train=replace(given.train, labels=(given.train.labels + 1) % 3))
    torch.manual_seed(0)
    made = shrink(Settings(epochs=40, label_weight=1, learning_rate=0.01), other)
    assert accuracy(made, split(600, 9)) < 0.1


@pytest.mark.parametrize("student", [{"name": "mlp", "hidden": [12, 8]}, {"name": "mlp", "hidden": [500]}])
def test_a_student_that_is_not_smaller_is_refused(student: dict[str, object]) -> None:
    with pytest.raises(ParamsError, match=r"compress.student: mlp has .* parameters and the trained mlp 431; expected fewer"):
        shrink(Settings(), subject(student=student))
