"""Rows sorted by class and not shuffled are told; an order that only looks regular, or that chance made, is not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.stages import call
from tasks.contracts.splits import read_split, write_split
from tasks.learning.class_order import warn_of_class_order
from tasks.statistics.arrays import Ints
from tests.tasks.test_train import processed

TEN = np.random.default_rng(0).integers(0, 10, 6000)
RARE = np.random.default_rng(0).random(6000) < 0.02


@pytest.mark.parametrize(
    ("labels", "batch_size", "numbers"),
    [
        pytest.param(np.sort(TEN), 100, "100 consecutive rows hold 1.1 classes on average, and 10.0 in random order", id="ten"),
        pytest.param(np.sort(TEN % 2), 32, "32 consecutive rows hold 1.0 classes on average, and 2.0 in random", id="two"),
        pytest.param(np.sort(TEN), 1, "2 consecutive rows hold 1.0 classes on average, and 1.9 in random", id="single rows"),
        pytest.param(np.sort(TEN)[::-1], 50, "50 consecutive rows hold 1.1 classes", id="descending"),
        pytest.param(np.sort(RARE).astype(int), 32, "32 consecutive rows hold 1.0 classes on average, and 1.5", id="rare"),
        pytest.param(np.repeat(np.arange(60) % 10, 100), 100, "100 consecutive rows hold 1.0 classes", id="in blocks"),
    ],
)
def test_rows_in_class_order_are_told_with_the_numbers_and_the_remedy(
    labels: Ints, batch_size: int, numbers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_class_order(labels, batch_size)
    printed = capsys.readouterr().out
    assert printed.startswith(f"train: train.shuffle is false, and the rows come in class order: {numbers}")
    assert printed.endswith("set train.shuffle to true\n")


@pytest.mark.parametrize(
    ("labels", "batch_size"),
    [
        pytest.param(TEN, 32, id="random"),
        pytest.param(TEN, 1, id="random, single rows"),
        pytest.param(RARE.astype(int), 32, id="random, a rare class"),
        pytest.param(np.arange(6000) % 10, 5, id="in turn"),
        pytest.param(np.repeat(np.arange(60) % 10, 100), 1000, id="blocks within each batch"),
        pytest.param(np.sort(TEN), 6000, id="one batch"),
        pytest.param(np.zeros(100, dtype=int), 10, id="one class"),
        pytest.param(np.zeros(0, dtype=int), 10, id="no rows"),
    ],
)
def test_other_orders_are_not_told(labels: Ints, batch_size: int, capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_class_order(labels, batch_size)
    assert not capsys.readouterr().out


def test_random_order_is_hardly_ever_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Measured: 0 to 1.6 % of small sets, most where a class has two of 100 rows."""
    random = np.random.default_rng(1)
    for _ in range(500):
        warn_of_class_order((random.random(200) < 0.05).astype(int), 32)
    assert capsys.readouterr().out.count("\n") <= 5


@pytest.mark.parametrize("shuffle", [False, True])
def test_training_says_it_where_the_order_of_the_rows_counts(
    shuffle: bool, params_with: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [("epochs: 150 ", "epochs: 1 "), ("batch_size: 32 ", "batch_size: 10 ")]
    root = processed(params_with(*changes, *([] if shuffle else [("shuffle: true ", "shuffle: false ")])))
    split = read_split(root, "train")
    order = split.labels.argsort(stable=True)
    write_split(root, "train", type(split)(split.images[order], split.labels[order], split.rows))
    call("train", root)
    assert ("10 consecutive rows hold 1.0 classes on average, and 2.9" in capsys.readouterr().out) is not shuffle
