"""Batch normalisation over one, two or three examples: an error where torch cannot, a line where the result suffers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.stages import call
from tasks.core.errors import ParamsError
from tasks.learning.small_batches import smallest, warn_of_small_batches
from tests.tasks.test_train import processed

SHAPE = (1, 2, 2)


def normalised(values: int = 1) -> nn.Module:
    """A model whose batch normalisation sees so many values of each channel and example."""
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2 * values), nn.Unflatten(1, (2, values)), nn.BatchNorm1d(2), nn.Dropout())


@pytest.mark.parametrize(("rows", "examples"), [(34, "2 examples"), (35, "3 examples")])
def test_one_line_says_what_a_last_batch_of_two_or_three_does(
    rows: int, examples: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_small_batches(normalised(), SHAPE, rows, batch_size=32, divided=1)
    printed = capsys.readouterr().out
    assert printed.startswith(
        f"train: train.batch_size 32 divides {rows} rows into batches, the smallest of which has {examples}, whose"
    )
    assert printed.endswith(f"set train.batch_size to {30 if rows == 34 else 31}\n")


@pytest.mark.parametrize(("model", "rows"), [(normalised(), 36), (normalised(), 64), (nn.Linear(4, 2), 33)])
def test_says_nothing_of_enough_examples_or_without_batch_norm(
    model: nn.Module, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_small_batches(model, SHAPE, rows, batch_size=32, divided=1)
    assert not capsys.readouterr().out


def test_one_example_is_refused_where_torch_cannot_normalise_it() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        normalised()(torch.zeros(1, *SHAPE))
    with pytest.raises(
        ParamsError, match=r"smallest of which has 1 example, .* cannot train on one; set train.batch_size to 33"
    ):
        warn_of_small_batches(normalised(), SHAPE, 33, batch_size=32, divided=1)


def test_one_example_of_several_values_is_told_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    model = normalised(values=3)
    before = [value.clone() for value in model.state_dict().values()], torch.get_rng_state()
    warn_of_small_batches(model, SHAPE, 33, batch_size=32, divided=1)
    assert "the smallest of which has 1 example, whose mean" in capsys.readouterr().out
    assert all(map(torch.equal, before[0], model.state_dict().values()))
    assert torch.equal(before[1], torch.get_rng_state())


def test_the_parts_of_a_batch_are_what_is_normalised() -> None:
    assert smallest(64, 32, divided=1) == 32
    assert smallest(64, 32, divided=10) == 3
    assert smallest(39, 32, divided=2) == 3
    with pytest.raises(
        ParamsError, match=r"6 rows into batches and these into 8 parts each, .* train on more rows or in fewer parts"
    ):
        warn_of_small_batches(normalised(), SHAPE, 6, batch_size=32, divided=8)


def test_training_says_it_before_it_begins(params_with: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    root = processed(
        params_with(
            ("epochs: 150 ", "epochs: 1 "),
            ("batch_size: 32 ", "batch_size: 59 "),
            ("{name: mlp, hidden: [64]}", "{name: resnet18}"),
        )
    )
    call("train", root)
    said, learned = (line for line in capsys.readouterr().out.splitlines() if line.startswith("train: train") or "kept" in line)
    assert said.endswith("the model may learn badly; set train.batch_size to 60")
    assert "1 epochs" in learned
