"""Bins with a known calibration error."""

import pandas as pd
import pytest

from tasks.charts.reliability import expected_calibration_error, reliability_chart

COLUMNS = ["bin_low", "bin_high", "n", "confidence", "accuracy", "accuracy_ci_low", "accuracy_ci_high"]
BINS = pd.DataFrame([(0.4, 0.6, 10, 0.5, 0.7, 0.4, 0.9), (0.8, 1.0, 30, 0.95, 0.85, 0.7, 0.95)], columns=COLUMNS)


def test_weighs_each_bin_by_its_examples() -> None:
    assert expected_calibration_error(BINS) == pytest.approx((10 * 0.2 + 30 * 0.1) / 40)


def test_draws_points_diagonal_and_counts() -> None:
    drawn = reliability_chart(BINS)
    for part in ("2 bins; expected calibration error 0.125", ">perfectly calibrated<", ">examples<"):
        assert part in drawn


def test_draws_a_single_bin() -> None:
    assert "1 bins" in reliability_chart(BINS.head(1))
