"""Margins over epochs: what is drawn, and what cannot be."""

import numpy as np
import pytest

from tasks.charts.margins import MOST_EPOCHS, margins_chart

RISING = (np.linspace(-1, 2, 30)[:, None] + np.arange(20) / 10).astype(np.float16)
NONE = np.empty(0, np.intp)


def test_says_how_many_images_and_epochs_and_where_they_end() -> None:
    drawn = margins_chart(RISING, np.array([0, 3]))
    assert "margins of 20 training images over 30 epochs" in drawn
    assert "the median is 2.95, and 0.0 % are below 0." in drawn
    assert ">candidates<" in drawn
    assert ">candidates<" not in margins_chart(RISING, NONE)


def test_a_long_run_is_drawn_with_as_many_points_as_can_be_told_apart() -> None:
    long = np.repeat(RISING, 100, axis=0)
    assert "over 3000 epochs" in margins_chart(long, NONE)
    assert len(margins_chart(long, NONE)) < 3 * len(margins_chart(RISING, NONE)) * MOST_EPOCHS / 30


@pytest.mark.parametrize("margins", [RISING[:1], np.where(RISING > 1, np.inf, RISING), np.where(RISING > 1, np.nan, RISING)])
def test_one_epoch_or_a_margin_that_is_not_finite_is_not_drawn(margins: np.ndarray) -> None:
    assert margins_chart(margins.astype(np.float16), NONE) == ""
