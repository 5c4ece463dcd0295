"""The diagram of two bins made by hand."""

import re

import pandas as pd
import pytest
import torch

from tasks.charts.reliability import FEW, Scaled, reliability_chart, scaled
from tasks.statistics.calibration import Bin

COLUMNS = ["bin_low", "bin_high", "n", "confidence", "accuracy", "accuracy_ci_low", "accuracy_ci_high"]
BINS = pd.DataFrame([(0.4, 0.6, 10, 0.5, 0.7, 0.4, 0.9), (0.8, 1.0, 30, 0.95, 0.85, 0.7, 0.95)], columns=COLUMNS)


def test_draws_points_diagonal_and_counts_and_names_the_error_of_the_evaluation() -> None:
    drawn = reliability_chart(BINS, 0.125)
    for part in ("2 bins; expected calibration error 0.125", ">perfectly calibrated<", ">images<"):
        assert part in drawn


def test_draws_a_single_bin() -> None:
    assert "1 bin;" in reliability_chart(BINS.head(1), 0.2)


def test_bins_with_few_images_get_no_interval() -> None:
    some, few = (reliability_chart(bins, 0.2) for bins in (BINS, BINS.assign(n=FEW - 1)))
    assert lines(some) - lines(few) == len(BINS)


def lines(drawn: str) -> int:
    """How many straight lines from one point to another it has; an interval is one, so are grid lines and the diagonal."""
    return len(re.findall(r'd="M [-0-9.]+ [-0-9.]+ \s*L [-0-9.]+ [-0-9.]+ \s*"', drawn))


def test_counts_of_images_are_whole_numbers() -> None:
    ticks = re.findall(r">([0-9.]+)</text>", reliability_chart(BINS.assign(n=[2, 3]), 0.2))
    assert ticks
    assert all("." not in text for text in ticks)


def test_scaled_confidences_are_those_of_the_logits_divided_by_the_temperature() -> None:
    logits = torch.tensor([[4.0, 0.0, -2.0], [1.0, 3.0, 0.0], [0.0, 0.0, 8.0]], dtype=torch.float64)
    columns = {f"probability_{number}": column.numpy() for number, column in enumerate(logits.softmax(1).T)}
    predictions = pd.DataFrame({"label": [0, 2, 2], "predicted": [0, 1, 2], "probability_of_rain": 9.0} | columns)
    after = scaled(predictions, 2.0, bins=1)
    expected = (logits / 2).softmax(1).max(1).values.mean().item()
    assert [(found.n, found.correct) for found in after.bins] == [(3, 2)]
    assert after.bins[0].confidence == pytest.approx(expected)
    assert after.error == pytest.approx(abs(2 / 3 - expected))


def test_what_temperature_scaling_brings_is_drawn_where_there_are_enough_images() -> None:
    after = Scaled(2.0, [Bin(0.4, 0.6, 10, 0.5, 6), Bin(0.8, 1.0, FEW - 1, 0.9, 1)])
    drawn = reliability_chart(BINS, 0.125, after)
    assert ">after scaling, T = 2.00<" in drawn
    assert f"After temperature scaling with T = 2.00 it is {after.error:.3f}." in drawn
    nothing = reliability_chart(BINS, 0.125, Scaled(2.0, after.bins[1:]))
    assert drawn.count("<use") == nothing.count("<use") + 1
