import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom, t

from tasks.diagnostics.crossfit import Comparison, compare
from tasks.diagnostics.harms import harms
from tasks.statistics.answers import Answers
from tasks.statistics.calibration import log_losses
from tasks.statistics.halves import stratified_halves
from tests.tasks.diagnostics.worlds import LIMITS, epochs, recorded, recorded_as_read, truth
from tests.tasks.statistics.covering import fewest, most


def compared(val_logits: np.ndarray, labels: np.ndarray, seed: int = 0, saved: int | None = None) -> Comparison:
    saved = len(val_logits) - 1 if saved is None else saved
    result = compare(*recorded_as_read(val_logits, labels, seed, saved), val_logits[saved], labels, saved)
    assert isinstance(result, Comparison)
    assert np.isfinite([result.scaled, result.scaled_spread, result.gain]).all()  # no epoch was read that has no scaled losses
    return result


def test_halves_are_equal_in_size_and_in_every_class() -> None:
    labels = np.repeat([0, 1, 2], [40, 21, 8])
    half = stratified_halves(labels, np.random.default_rng(0))
    assert abs(int(half.sum()) - 34.5) < 1
    assert [abs(2 * int(half[labels == k].sum()) - int((labels == k).sum())) <= 1 for k in range(3)] == [True] * 3


def test_harm_of_a_made_up_last_epoch_is_the_difference_in_log_loss() -> None:
    random = np.random.default_rng(0)
    logits, labels = truth(400, 3, random)
    good, bad = logits, 4 * logits
    result = compared(np.stack([good, bad]).astype(np.float32), labels)
    assert result.chosen == (1, 1)
    harm = log_losses(bad, labels).mean() - log_losses(good, labels).mean()
    assert result.raw_harm(0.95).estimate == pytest.approx(harm, rel=1e-5)
    assert result.temperature == pytest.approx(4, rel=0.3)
    assert abs(result.scaled_harm(0.95).estimate) < 1e-3  # the same logits, once each has its temperature


def test_each_half_is_scored_against_the_epoch_that_the_other_half_chose() -> None:
    random = np.random.default_rng(1)
    logits, labels = truth(200, 3, random)
    half = stratified_halves(labels, np.random.default_rng([7, 2]))
    # Epoch 1 is good on one half only, epoch 2 on the other; the last is bad on both.
    first, second, last = (np.where(keep[:, None], logits, -logits) for keep in (half, ~half, np.zeros(200, dtype=bool)))
    result = compared(np.stack([first, second, last]).astype(np.float32), labels, seed=7)
    assert set(result.chosen) == {1, 2}
    # What a half chose is as bad as the last epoch where it is scored: no harm, though "the best epoch" is better everywhere.
    assert result.raw_harm(0.95).estimate == pytest.approx(0, abs=1e-6)


def test_an_epoch_that_both_halves_choose_has_no_harm_but_not_for_certain() -> None:
    random = np.random.default_rng(2)
    logits, labels = truth(100, 3, random)
    result = compared(np.stack([logits + 0.3 * random.normal(size=logits.shape), logits]).astype(np.float32), labels)
    assert result.chosen == (2, 2)
    contrast = result.raw_harm(0.95)
    assert contrast.estimate == 0
    assert contrast.error > 0
    assert contrast.p_value == pytest.approx(0.5)


def test_the_saved_epoch_is_compared_where_early_stopping_restored_it() -> None:
    random = np.random.default_rng(3)
    logits, labels = truth(400, 3, random)
    logits_of = np.stack([0 * logits, logits, 6 * logits]).astype(np.float32)
    assert compared(logits_of, labels, saved=1).raw_harm(0.95).estimate == 0
    assert compared(logits_of, labels, saved=2).raw_harm(0.95).estimate > 0.1


@pytest.mark.parametrize(
    ("count", "rows", "reason"), [(3, 0, "no validation set"), (1, 50, "Only one epoch"), (3, 5, "has 5 images")]
)
def test_says_why_there_is_nothing_to_compare(count: int, rows: int, reason: str) -> None:
    labels, logits = np.zeros(rows, dtype=np.int64), np.zeros((count, rows, 3), dtype=np.float32)
    answer = compare(*recorded(logits, labels, seed=0), logits[-1], labels, count - 1)
    assert isinstance(answer, str)
    assert reason in answer


def test_the_interval_of_the_error_rate_covers_the_increase_over_the_chosen_epochs() -> None:
    """Four epochs of which the last is the worst; they err on much the same images, and differ in how many of these."""
    runs, held, rates = 300, 0, np.array([0.25, 0.2, 0.2, 0.24])
    for seed in range(runs):
        random = np.random.default_rng(seed)
        hard = ndtr(0.8 * random.normal(size=300) + 0.6 * random.normal(size=(4, 300)))  # uniform, and alike in all epochs
        correct = hard >= rates[:, None]
        loss, half, logits = np.where(correct, 0.2, 2.0), random.permutation(300) < 150, np.zeros((300, 2))
        found = compare(Answers(loss, loss, correct), half, logits, np.zeros(300, dtype=np.int64), 3)
        assert isinstance(found, Comparison)
        increase = rates[3] - np.mean([rates[epoch - 1] for epoch in found.chosen])
        contrast = found.error_harm(0.95)
        held += contrast.low <= increase <= contrast.high
    assert fewest(runs) <= held <= most(runs)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "runs"), [(5, 500), (30, 300)])
def test_flags_among_equal_epochs_keep_alpha_where_the_naive_rule_does_not(count: int, runs: int) -> None:
    n = 1000
    naive, raw, scaled, flags = 0, 0, 0, 0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        logits, labels = truth(n, 3, random)
        logits_of = epochs(logits, count, 0.6, random)
        losses = np.stack([log_losses(epoch, labels) for epoch in logits_of])
        difference = losses[-1] - losses[losses.mean(axis=1).argmin()]
        naive += bool(difference.any() and t.sf(difference.mean() / (difference.std(ddof=1) / np.sqrt(n)), n - 1) <= 0.05)
        result = compared(logits_of, labels, seed)
        raw += result.raw_harm(0.95).p_value <= 0.05
        scaled += result.scaled_harm(0.95).p_value <= 0.05
        found = harms(result, LIMITS)
        flags += found.overtrained(0.05) or found.overconfident(0.05)
    print(f"{count} equal epochs, {runs} runs: naive {naive / runs:.3f}, log-loss {raw / runs:.3f}, scaled {scaled / runs:.3f}")
    print(f"flags, after Holm over the family: {flags / runs:.3f}")
    # What a user sees keeps alpha: at a true rate of 0.05 more flags than this happen in one of a hundred such tests.
    assert flags <= binom.ppf(0.99, runs, 0.05)
    # One test alone is near alpha (the halves choose for each other), and not idle.
    assert 0.02 * runs < min(raw, scaled)
    assert max(raw, scaled) < 0.1 * runs
    assert naive > (0.3 if count == 30 else 0.1) * runs


@pytest.mark.slow
def test_a_harm_of_003_nats_is_seen_as_often_as_the_standard_error_promises() -> None:
    runs, n, seen, estimates, errors = 200, 1000, 0, [], []
    for seed in range(runs):
        random = np.random.default_rng(seed)
        logits, labels = truth(n, 3, random)
        logits_of = epochs(logits, 30, 0.4, random)
        logits_of[-1] = logits + 0.65 * random.normal(size=logits.shape)  # adds 0.03 nats to the log-loss
        contrast = compared(logits_of, labels, seed).raw_harm(0.95)
        seen += contrast.p_value <= 0.05
        estimates.append(contrast.estimate)
        errors.append(contrast.error)
    print(f"harm {np.mean(estimates):.4f}, standard error {np.mean(errors):.4f} (of estimates {np.std(estimates):.4f})")
    print(f"power {seen / runs:.3f}")
    assert np.mean(estimates) == pytest.approx(0.03, abs=0.003)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.15)
    assert seen / runs > 0.7
