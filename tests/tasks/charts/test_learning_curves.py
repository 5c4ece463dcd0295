"""Curves with and without a validation set, long and short."""

import pandas as pd
import pytest

from tasks.charts.learning_curves import learning_curve


def history(epochs: int, *, validation: bool = True, last: float = 0.5) -> pd.DataFrame:
    losses = [1 - (1 - last) * number / max(epochs - 1, 1) for number in range(epochs)]
    val = losses if validation else [None] * epochs
    table = {
        "epoch": range(1, epochs + 1),
        "train_loss": losses,
        "val_loss": val,
        "train_accuracy": losses,
        "val_accuracy": val,
    }
    return pd.DataFrame(table)


@pytest.mark.parametrize("quantity", ["loss", "accuracy"])
def test_draws_both_splits_and_marks_the_saved_epoch(quantity: str) -> None:
    drawn = learning_curve(history(11), quantity, 6, "nats")
    for part in (">train<", ">val<", ">saved: epoch 6<", "saved epoch 6: train 0.750, val 0.750"):
        assert part in drawn


def test_draws_train_alone_without_validation() -> None:
    drawn = learning_curve(history(11, validation=False), "loss", 11, "nats")
    assert ">train<" in drawn
    assert ">val<" not in drawn


def test_draws_a_single_epoch() -> None:
    assert "over 1 epoch." in learning_curve(history(1), "accuracy", 1)


def test_takes_a_log_scale_only_for_a_train_loss_alone_that_falls_far() -> None:
    assert ">nats<" in learning_curve(history(5), "loss", 5, "nats")
    assert ">nats<" in learning_curve(history(5, validation=False), "loss", 5, "nats")
    assert "nats, log scale" in learning_curve(history(5, validation=False, last=0.001), "loss", 5, "nats")


def test_a_loss_that_rises_again_is_drawn_large_and_its_lowest_epoch_is_named() -> None:
    rising = history(5)
    rising["train_loss"] = [2.0, 0.5, 0.1, 0.01, 0.001]
    rising["val_loss"] = [2.0, 0.4, 0.2, 0.25, 0.3]
    drawn = learning_curve(rising, "loss", 5, "nats")
    assert "nats, first epochs cut off" in drawn
    assert ">lowest: epoch 3<" in drawn
    assert ">0.6<" in drawn
    assert ">2.0<" not in drawn  # the axis ends at twice the 0.3
    falling = rising.assign(val_loss=[2.0, 0.4, 0.2, 0.1, 0.02])
    assert ">nats<" in learning_curve(falling, "loss", 5, "nats")  # the loss does not rise again: nothing is cut off
    dropout = rising.assign(train_loss=[90.0, 2.0, 1.0, 0.9, 0.9])
    assert ">1.75<" in learning_curve(dropout, "loss", 5, "nats")  # train is not cut off where it stays above val
    assert "lowest" not in learning_curve(rising, "loss", 3, "nats")
    assert "lowest" not in learning_curve(rising, "accuracy", 5, "nats")
