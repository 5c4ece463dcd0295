"""The diagram of two bins made by hand."""

import pandas as pd

from tasks.charts.reliability import reliability_chart

COLUMNS = ["bin_low", "bin_high", "n", "confidence", "accuracy", "accuracy_ci_low", "accuracy_ci_high"]
BINS = pd.DataFrame([(0.4, 0.6, 10, 0.5, 0.7, 0.4, 0.9), (0.8, 1.0, 30, 0.95, 0.85, 0.7, 0.95)], columns=COLUMNS)


def test_draws_points_diagonal_and_counts_and_names_the_error_of_the_evaluation() -> None:
    drawn = reliability_chart(BINS, 0.125)
    for part in ("2 bins; expected calibration error 0.125", ">perfectly calibrated<", ">examples<"):
        assert part in drawn


def test_draws_a_single_bin() -> None:
    assert "1 bins" in reliability_chart(BINS.head(1), 0.2)
