"""Numbers as they are printed."""

import pytest

from tasks.charts.formats import count, decimals_of, fixed, p_value, percent, read_estimate, typeset, value, without_fix, words
from tasks.core.errors import ArtifactError

THIN = "\u202f"


def test_prints_percentages_counts_and_decimals() -> None:
    assert percent(0.9722) == f"97.2{THIN}%"
    assert count(1234567) == f"1{THIN}234{THIN}567"
    assert fixed(-0.12345, 3) == "−0.123"
    assert fixed(-0.0001, 3) == "0.000"


@pytest.mark.parametrize("number", [None, float("nan"), float("inf")])
def test_prints_a_dash_where_there_is_no_number(number: float | None) -> None:
    assert fixed(number, 2) == percent(number) == "–"


def test_small_numbers_get_more_decimals() -> None:
    assert [decimals_of(number) for number in (0.001, 0.1, 12.0, 150.0, 5000.0)] == [4, 3, 2, 1, 0]


def test_prints_parameters_as_yaml_does() -> None:
    assert [value(item) for item in (True, None, 0.1, 1e-08, [64, 32], "sgd")] == [
        "true",
        "–",
        "0.1",
        "1e-08",
        "[64, 32]",
        "sgd",
    ]


def test_cuts_a_long_list_and_says_how_long_it_is() -> None:
    assert value(list(range(100)), most=2) == "[0, 1, … 100 in all]"


def test_typesets_percent_signs_and_minus_signs_of_sentences() -> None:
    assert typeset("-3.7 points (95 % CI -5.7 to -2.3), log-loss of epoch 3") == (
        f"−3.7 points (95{THIN}% CI −5.7 to −2.3), log-loss of epoch 3"
    )


def test_prints_very_small_p_values_as_smaller_than_a_bound() -> None:
    assert [p_value(number) for number in (4e-132, 0.0318, 1.0)] == ["< 0.0001", "0.0318", "1.0000"]


def test_leaves_the_fix_out_of_a_sentence_and_nothing_else() -> None:
    text = (
        "Loss is 0.1 nats higher. Fix: divide by T = 2.38 (gain 0.070 nats, 95 % CI 0.011 to 0.129). What remains is unknown."
    )
    assert without_fix(text) == "Loss is 0.1 nats higher. What remains is unknown."
    assert without_fix("Too slow. Fix: raise the rate; or wait.") == "Too slow."
    assert without_fix("Nothing to fix: all is well.") == "Nothing to fix: all is well."


def test_turns_codes_into_words() -> None:
    assert words("good_fit") == "Good fit"


def test_reads_an_estimate_with_its_interval_and_names_a_missing_one() -> None:
    metrics = {"accuracy": 0.9, "accuracy_ci_low": 0.8, "accuracy_ci_high": 0.95}
    found = read_estimate(metrics, "accuracy")
    assert (found.value, found.low, found.high) == (0.9, 0.8, 0.95)
    with pytest.raises(ArtifactError, match="no number 'log_loss', only accuracy"):
        read_estimate(metrics, "log_loss")
