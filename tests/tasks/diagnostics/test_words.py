"""Numbers in the sentences of findings."""

import pytest

from tasks.diagnostics.words import change, interval, level, percent, percent_interval, points, points_interval


def test_intervals_name_their_level() -> None:
    assert interval(0.0089, 0.1096, 0.95) == "95 % CI 0.009 to 0.110"
    assert percent_interval(0.9434, 0.9759, 0.9) == "90 % CI 94.3 to 97.6 %"
    assert points_interval(-0.0124, 0.008, 0.99) == "99 % CI -1.2 to 0.8"
    assert level(0.999) == "99.9 %"


def test_fractions_are_percent_and_their_differences_percentage_points() -> None:
    assert percent(0.9629) == "96.3 %"
    assert points(0.018) == "1.8 percentage points"


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.003, "+0.3"), (-0.003, "-0.3"), (0.0004, "0.0"), (-0.0004, "0.0"), (0.0, "0.0")]
)
def test_a_change_has_its_sign_unless_it_rounds_to_zero(fraction: float, text: str) -> None:
    assert change(fraction) == f"{text} percentage points"
