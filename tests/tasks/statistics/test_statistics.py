import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm
from scipy.stats import t as student

from tasks.statistics.arrays import Floats
from tasks.statistics.calibration import (
    calibration,
    calibration_error,
    fit_temperature,
    log_losses,
    log_probabilities,
    unfitted,
)
from tasks.statistics.comparisons import (
    advantage_limit,
    detectable,
    detectable_above,
    holm,
    mean_difference,
    paired_errors,
    paired_interval,
)
from tasks.statistics.intervals import bootstrap_mean, exceedance, jeffreys, newcombe, wilson
from tests.tasks.diagnostics.worlds import truth
from tests.tasks.statistics.covering import fewest, most

TRUTH = 0.05 * 6 + 0.95 * np.exp(-5)  # the mean of the losses of an overconfident model, of which 5 % are large


def test_wilson_is_the_published_interval() -> None:
    # Newcombe 1998, table I: 81 of 263, and 0 of 20.
    assert wilson(81, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20, 0.95) == pytest.approx((0.0, 0.1611), abs=1e-4)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 539), (519, 539), (539, 539), (3, 10_000_000)])
def test_wilson_is_scipys(successes: int, n: int) -> None:
    interval = binomtest(successes, n).proportion_ci(0.9, method="wilson")
    assert wilson(successes, n, 0.9) == pytest.approx((interval.low, interval.high), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [30, 200, 1000])
def test_wilson_holds_a_share_as_often_as_it_says(share: float, n: int) -> None:
    """Exact, by the probability of each count; counts are whole, so that no interval can hold every share in just 95 %."""
    held = [low <= share <= high for low, high in (wilson(count, n, 0.95) for count in range(n + 1))]
    assert binom.pmf(np.arange(n + 1), n, share) @ held == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(("share", "n"), [(0.9, 15), (0.9, 30), (0.97, 100), (0.5, 20), (0.95, 1000)])
def test_jeffreys_limits_miss_a_share_as_seldom_as_stated_on_either_side(share: float, n: int) -> None:
    """At the level of one of 20 slices; Wilson's upper limit lies below the share up to six times as often as stated."""
    chances, limits = binom.pmf(np.arange(n + 1), n, share), np.array([jeffreys(count, n, 0.9975) for count in range(n + 1)])
    assert chances @ (limits[:, 0] > share) <= 2 * 0.00125
    assert chances @ (limits[:, 1] < share) <= 2 * 0.00125
    assert limits[0, 0] == 0
    assert limits[n, 1] == 1


@pytest.mark.parametrize(("first", "m", "second", "n"), [(0.8, 30, 0.95, 270), (0.9, 100, 0.95, 200), (0.5, 20, 0.9, 200)])
def test_newcombe_holds_a_difference_of_shares_as_often_as_it_says(first: float, m: int, second: float, n: int) -> None:
    """Exact, by the probability of each pair of counts that is at all likely."""
    chances = np.outer(binom.pmf(np.arange(m + 1), m, first), binom.pmf(np.arange(n + 1), n, second))
    covered = 0.0
    for one, other in np.argwhere(chances > 1e-7):
        low, high = newcombe(int(one), m, int(other), n, 0.95)
        covered += chances[one, other] * (low <= second - first <= high)
    assert covered == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("statistic", [-3.0, 0.0, 1.7, 40.0])
def test_exceedance_is_the_tail_of_students_t(statistic: float) -> None:
    assert exceedance(statistic, 502) == pytest.approx(student.sf(statistic, 502), rel=1e-12)


def test_log_loss_is_finite_where_the_probability_rounds_to_zero() -> None:
    logits = np.array([[2000.0, 0.0]], dtype=np.float32)
    assert np.exp(log_probabilities(logits))[0, 1] == 0
    assert log_losses(logits, np.array([1])) == pytest.approx([2000.0])


def test_log_loss_of_even_logits_is_the_log_of_the_number_of_classes() -> None:
    assert log_losses(np.zeros((2, 10), dtype=np.float32), np.array([0, 9])) == pytest.approx([np.log(10)] * 2)


def test_bootstrap_agrees_with_the_normal_interval_of_a_mean_in_any_number_of_batches() -> None:
    values = np.random.default_rng(0).normal(size=3000)
    low, high = bootstrap_mean(values, 0.95, 2000, np.random.default_rng(1))
    width = 1.96 * values.std() / np.sqrt(3000)
    assert (low, high) == pytest.approx((values.mean() - width, values.mean() + width), abs=0.15 * width)


@pytest.mark.parametrize("values", [np.full(7, 0.25), np.full(7, 0.1), np.array([2.5]), np.array([0.0, 1e-200])])
def test_bootstrap_of_equal_values_has_no_width(values: Floats) -> None:
    found = bootstrap_mean(values, 0.95, 200, np.random.default_rng(0))
    assert found == pytest.approx((values[0], values[0]), abs=1e-150)


@pytest.mark.parametrize("large", [1, 2, 3])
def test_bootstrap_ends_within_the_values_where_few_of_them_make_the_mean(large: int) -> None:
    """A resample without them has a deviation near zero, of which a quarter of the sample's is taken: 5 means are the limit."""
    values = np.concatenate([np.full(500 - large, 1e-9), np.full(large, 10.0)])
    low, high = bootstrap_mean(values, 0.95, 1000, np.random.default_rng(0))
    assert values.min() <= low < values.mean() < high < 5.001 * values.mean()
    assert bootstrap_mean(-values, 0.95, 1000, np.random.default_rng(0)) == pytest.approx((-high, -low))


def test_bootstrap_is_the_studentised_interval_of_the_book_where_no_deviation_is_small() -> None:
    """Against Efron & Tibshirani 1993, equation 12.22, resample by resample."""
    values, random = np.random.default_rng(0).exponential(size=50), np.random.default_rng(3)
    resamples = [values[random.integers(50, size=50)] for _ in range(500)]
    ratios = [(drawn.mean() - values.mean()) / (drawn.std() / np.sqrt(50)) for drawn in resamples]
    error = values.std() / np.sqrt(50)
    expected = [values.mean() - np.quantile(ratios, level) * error for level in (0.95, 0.05)]
    assert bootstrap_mean(values, 0.9, 500, np.random.default_rng(3)) == pytest.approx(expected)


@pytest.mark.parametrize(("wrong", "coverage"), [(0.05, 0.959), (0.1, 0.967)])
def test_bootstrap_holds_the_mean_of_skewed_losses_as_often_as_was_measured(wrong: float, coverage: float) -> None:
    """Of 100 losses of an overconfident model, most near zero; percentile intervals hold it in 0.894 and 0.920 of 4000 samples."""
    random, held = np.random.default_rng(0), []
    for _ in range(400):
        large = random.random(100) < wrong
        losses = np.where(large, 3 + random.exponential(3, 100), random.lognormal(-7, 2, 100))
        low, high = bootstrap_mean(losses, 0.95, 1000, random)
        held.append(low <= 6 * wrong + (1 - wrong) * np.exp(-5) <= high)
    assert np.mean(held) == pytest.approx(coverage, abs=2.58 * np.sqrt(coverage * (1 - coverage) / 400))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_mean_difference_is_held_where_a_few_large_losses_skew_it(sign: int) -> None:
    """Of 200 losses, 5 % are large: Student's interval holds the mean in 0.91, and misses it on one side in nearly all others."""
    random, runs, below, above = np.random.default_rng(0), 2000, 0, 0
    for _ in range(runs):
        large = random.random(200) < 0.05
        found = mean_difference(sign * np.where(large, 3 + random.exponential(3, 200), random.lognormal(-7, 2, 200)), 0.95)
        below, above = below + (found.high < sign * TRUTH), above + (found.low > sign * TRUTH)
    # Held in 0.977: rather too wide, which claims less. Student's fails both lines.
    assert fewest(runs) <= runs - below - above
    assert max(below, above) <= runs - fewest(runs, 0.975)


def test_a_mean_difference_of_symmetric_values_has_students_interval() -> None:
    values = np.array([-3.0, -1.0, 0.5, 2.0, 4.5]) - 0.2
    values = np.concatenate([values, 1.0 - values])
    found, width = mean_difference(values, 0.9), student.ppf(0.95, 9) * values.std(ddof=1) / np.sqrt(10)
    assert (found.low, found.high) == pytest.approx((0.5 - width, 0.5 + width))
    assert found.p_value == pytest.approx(student.sf(0.5 / (values.std(ddof=1) / np.sqrt(10)), 9))


@pytest.mark.parametrize("seed", range(5))
def test_test_and_interval_of_a_mean_difference_agree(seed: int) -> None:
    """At the confidence whose lower limit is zero, the p-value is half of the rest."""
    values = np.random.default_rng(seed).exponential(size=20) - 0.6
    found = mean_difference(values, 0.95)
    assert mean_difference(values, 1 - 2 * found.p_value).low == pytest.approx(0, abs=1e-9)


def test_one_huge_difference_among_many_small_ones_has_finite_limits_on_either_side() -> None:
    values = np.r_[np.zeros(9999), 1e6]
    found = mean_difference(values, 0.95)
    assert found.low < found.estimate < found.high < found.estimate + 10 * found.error


def test_minimum_detectable_effect_is_that_of_the_tables() -> None:
    assert detectable(1.0, alpha=0.05, power=0.8) == pytest.approx(1.6449 + 0.8416, abs=1e-4)
    assert detectable(2.0, alpha=0.05, power=0.8, sides=2) == pytest.approx(2 * (1.9600 + 0.8416), abs=2e-4)


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_mcnemar_counts_only_examples_on_which_the_two_differ() -> None:
    first, second = np.zeros(100, dtype=bool), np.zeros(100, dtype=bool)
    first[:6] = True  # six errors of its own, and two that both make
    first[10:12] = second[10:12] = True
    result = paired_errors(first, second, 0.95)
    assert result.estimate == pytest.approx(0.06)
    assert result.p_value == pytest.approx(1 / 2**6)
    assert result.low < result.estimate < result.high


def test_no_difference_in_few_examples_is_not_no_difference_for_certain() -> None:
    none = np.zeros(20, dtype=bool)
    result = paired_errors(none, none, 0.95)
    assert result.p_value == 1
    assert detectable(result.error, 0.05, 0.8) > 0.1


@pytest.mark.parametrize("n", [20, 100, 5000])
def test_advantage_limit_without_differing_examples_is_that_of_the_closed_form(n: int) -> None:
    z = norm.ppf(0.95)
    assert advantage_limit(0, 0, n, 0.95) == pytest.approx(z**2 / (n + z**2), rel=1e-4)


def test_advantage_limit_of_many_differing_examples_is_the_normal_one() -> None:
    n, gains, losses = 20_000, 2300, 2000
    error = np.sqrt((gains + losses) / n - ((gains - losses) / n) ** 2) / np.sqrt(n)
    assert advantage_limit(gains, losses, n, 0.95) == pytest.approx((gains - losses) / n + norm.ppf(0.95) * error, rel=1e-3)


@pytest.mark.parametrize(("gains", "losses"), [(100, 0), (0, 100), (50, 50), (1, 0), (0, 1)])
def test_advantage_limit_lies_between_what_was_seen_and_one(gains: int, losses: int) -> None:
    assert (gains - losses) / 100 <= advantage_limit(gains, losses, 100, 0.95) <= 1


@pytest.mark.parametrize(("worse", "better", "n"), [(0.1, 0.08, 200), (0.3, 0.1, 100), (0.02, 0.01, 1000), (0.3, 0.02, 400)])
def test_paired_intervals_hold_the_difference_of_error_rates_as_often_as_they_say(worse: float, better: float, n: int) -> None:
    """That of Agresti and Min, and the score interval."""
    runs, held, scored = 1000, 0, 0
    for count, other in np.random.default_rng(0).multinomial(n, [worse, better, 1 - worse - better], size=runs)[:, :2]:
        first, second = np.zeros(n, bool), np.zeros(n, bool)
        first[:count], second[count : count + other] = True, True
        found, (low, high) = paired_errors(first, second, 0.95), paired_interval(first, second, 0.95)
        held += found.low <= worse - better <= found.high
        scored += low <= worse - better <= high
    assert fewest(runs) <= held <= most(runs)
    assert fewest(runs) <= scored <= most(runs)


@pytest.mark.parametrize(("gain", "loss"), [(0.005, 0.0), (0.01, 0.005), (0.1, 0.08)])
def test_advantage_limit_lies_below_the_true_advantage_in_about_alpha_of_samples(gain: float, loss: float) -> None:
    counts = np.random.default_rng(0).multinomial(1000, [gain, loss, 1 - gain - loss], size=2000)[:, :2]
    below = [advantage_limit(int(gains), int(losses), 1000, 0.95) < gain - loss for gains, losses in counts]
    assert np.mean(below) < 0.07


def test_paired_interval_turns_round_with_its_arguments_and_contains_the_difference() -> None:
    one, other = np.zeros(44, bool), np.zeros(44, bool)
    one[:1] = True
    low, high = paired_interval(one, other, 0.95)
    assert paired_interval(other, one, 0.95) == (-high, -low)
    assert low < 1 / 44 < high


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(temperature: float) -> None:
    logits, labels = truth(20_000, 4, np.random.default_rng(0))
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature, rel=0.03)


def test_temperature_stays_moderate_where_every_example_is_right() -> None:
    logits = np.tile(np.array([[6.0, 0.0]]), (100, 1))
    assert 0.3 < fit_temperature(logits, np.zeros(100, dtype=np.int64)) < 1


def test_calibration_error_of_a_case_made_by_hand() -> None:
    # (0.5, 1]: 0.9 and 0.7, one of two right; (0, 0.5]: 0.5, wrong. The edge belongs to the bin below.
    table = calibration(np.array([0.9, 0.7, 0.5]), np.array([True, False, False]), bins=2)
    assert [(row.n, row.correct) for row in table] == [(1, 0), (2, 1)]
    assert calibration_error(table) == pytest.approx(2 / 3 * abs(0.5 - 0.8) + 1 / 3 * 0.5)


def test_certainty_falls_into_the_last_bin_and_empty_bins_are_left_out() -> None:
    (row,) = calibration(np.array([1.0, 1.0]), np.array([True, True]), bins=15)
    assert (row.low, row.high, row.n) == (14 / 15, 1.0, 2)


@pytest.mark.parametrize(("factor", "end"), [(1e4, "largest"), (1e-4, "smallest")])
def test_a_fit_that_ends_at_a_limit_of_the_search_found_no_temperature(factor: float, end: str) -> None:
    logits, labels = truth(2000, 3, np.random.default_rng(0))
    assert unfitted(fit_temperature(logits, labels)) is None
    assert f"still falls at the {end} temperature" in (unfitted(fit_temperature(factor * logits, labels)) or "")


def test_a_value_that_is_detectable_above_a_limit_has_its_interval_there_as_often_as_the_power_says() -> None:
    value = detectable_above(2.0, 0.5, 0.95, 0.8)
    low = np.random.default_rng(0).normal(value, 0.5, 20_000) - norm.ppf(0.975) * 0.5
    assert (low > 2).mean() == pytest.approx(0.8, abs=0.01)
