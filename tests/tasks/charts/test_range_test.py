"""The curve of a range test."""

import re

from tasks.charts.range_test import range_test_chart
from tasks.contracts.trained import RangeTest

RATES = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


def test_draws_the_curve_on_a_logarithmic_axis_and_marks_the_chosen_rate() -> None:
    drawn = range_test_chart(RangeTest(RATES, [2.0, 1.9, 1.0, 0.5, 0.6], 0.01), "nats")
    for part in (">smoothed loss<", ">chosen: 0.01<", ">nats<", ">0.0001<", ">0.001<", ">0.1<", ">1<"):
        assert part in drawn
    assert "range test of 5 learning rates from 0.0001 to 1. Chosen: 0.01." in drawn


def test_a_loss_that_explodes_does_not_hide_the_fall() -> None:
    drawn = range_test_chart(RangeTest(RATES, [2.0, 1.9, 1.0, 0.5, 1e9], 0.01), "nats")
    calm = range_test_chart(RangeTest(RATES, [2.0, 1.9, 1.0, 0.5, 0.6], 0.01), "nats")
    assert ticks(drawn) == ticks(calm)
    assert {"0.50", "2.00"} <= set(ticks(drawn))


def ticks(drawn: str) -> list[str]:
    return re.findall(r">([-0-9.e+]+)</text>", drawn)


def test_a_chosen_rate_below_the_tested_ones_is_drawn() -> None:
    assert ">chosen: 5e-05<" in range_test_chart(RangeTest(RATES, [2.0, 1.9, 1.0, 0.5, 0.6], 5e-05), "nats")
