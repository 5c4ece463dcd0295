"""Optimism of the best of several evaluations: closed forms, and runs that differ by luck alone."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tasks.contracts.findings import Finding
from tasks.contracts.splits import Arrays
from tasks.core.components import Component
from tasks.diagnostics.measured import Measured
from tasks.statistics.answers import Answers
from tasks.statistics.arrays import Bools
from tasks.statistics.comparisons import Contrast
from tasks.statistics.selection import hoeffding_ceiling, optimism, optimism_of_equal_runs
from tests.tasks.diagnostics.worlds import LIMITS, epochs, measured, truth

ACCURACY = 0.8


def diagnosed(world: Measured, **options: Any) -> Finding:
    choice = Component("tasks.diagnostics.checks").choose({"name": "selection", **options})
    finding = choice.module.check(world, LIMITS, choice.settings)
    assert isinstance(finding, Finding)
    return finding


def lucky(count: int, n: int, seed: int = 0, chosen_by: str = "lowest val_loss") -> Measured:
    """Epochs that are equally good and err independently; the best on validation is saved."""
    random = np.random.default_rng([seed, count, n])
    correct = random.random((count, n)) < ACCURACY
    saved = int(correct.mean(axis=1).argmax())
    logits, labels = truth(n, 3, random)
    made = measured(epochs(logits, 2, 0.1, random), labels, n=2000, seed=seed)

    def answered(labels: np.ndarray[Any, np.dtype[np.int64]], right: Any) -> Any:
        return np.eye(3, dtype=np.float32)[np.where(right, labels, (labels + 1) % 3)]

    loss = np.where(correct, 0.2, 2.0)
    return replace(
        made,
        val_epochs=Answers(loss, loss, correct),
        val_logits=answered(labels, correct[saved]),
        test_logits=answered(made.test.labels, random.random(2000) < ACCURACY),
        saved=saved,
        chosen_by=chosen_by,
    )


@pytest.mark.parametrize("runs", [2, 5, 20, 100])
def test_expected_optimism_of_the_best_of_equal_runs_has_its_closed_form(runs: int) -> None:
    best = np.random.default_rng(0).binomial(400, ACCURACY, size=(20_000, runs)).max(axis=1) / 400
    assert optimism_of_equal_runs(ACCURACY, runs, 400) == pytest.approx(best.mean() - ACCURACY, rel=0.07)
    assert optimism_of_equal_runs(ACCURACY, 1, 400) == 0


def test_cross_fitting_estimates_the_optimism_of_equal_runs_and_none_where_one_is_clearly_better() -> None:
    random, expected = np.random.default_rng(1), optimism_of_equal_runs(ACCURACY, 20, 400)
    found = [chosen_by_accuracy(random.random((20, 400)) < ACCURACY, random) for _ in range(60)]
    assert np.mean([one.estimate for one in found]) == pytest.approx(expected, rel=0.15)
    assert sum(one.low <= expected <= one.high for one in found) >= 54
    better = np.r_[0.9, np.full(19, 0.6)][:, None]
    clear = [chosen_by_accuracy(random.random((20, 400)) < better, random) for _ in range(40)]
    assert abs(np.mean([one.estimate for one in clear])) < 0.003


def test_the_optimism_is_that_of_the_choice_which_was_made() -> None:
    """A loss that says nothing of the accuracy chooses an epoch whose accuracy is not optimistic, though the best one's is."""
    random = np.random.default_rng(2)
    found, best = [], []
    for _ in range(40):
        correct, loss = random.random((20, 400)) < ACCURACY, random.random((20, 400))
        loss[:, 0] = [np.inf, np.nan, *np.full(18, 0.5)]  # never chosen
        found.append(optimism(correct, loss, 0.95, random).estimate)
        best.append(chosen_by_accuracy(correct, random).estimate)
    assert abs(np.mean(found)) < 0.004
    assert np.mean(best) > 0.02


def chosen_by_accuracy(correct: Bools, random: np.random.Generator) -> Contrast:
    return optimism(correct, np.where(correct, 0.0, 1.0), 0.95, random)


def test_no_accuracy_of_many_runs_exceeds_hoeffdings_ceiling_more_often_than_delta() -> None:
    deviations = np.abs(np.random.default_rng(0).binomial(200, 0.5, size=(2000, 20)) / 200 - 0.5).max(axis=1)
    assert (deviations > hoeffding_ceiling(20, 200, 0.05)).mean() <= 0.05
    assert hoeffding_ceiling(20, 200, 0.05) == pytest.approx(np.sqrt(np.log(800) / 400))


def test_the_luckiest_of_many_epochs_on_few_images_is_flagged() -> None:
    """The optimism is 14 percentage points."""
    statuses = Counter(diagnosed(lucky(200, 60, seed)).status for seed in range(20))
    assert statuses["flag"] >= 19
    finding = diagnosed(lucky(100, 200))
    assert "is optimistic by" in finding.summary
    assert "by cross-fitting over 100 epochs on 200 validation images" in finding.summary
    stated = diagnosed(lucky(100, 200), evaluations=5000)
    assert "over 100 epochs" in stated.summary, "only this run's epochs were crossed"
    assert finding.ci_low is not None
    assert finding.ci_low > LIMITS.harm_accuracy
    assert finding.remedy is not None


def test_epochs_that_err_alike_raise_no_false_alarm() -> None:
    statuses = Counter[str]()
    for seed in range(100):
        random = np.random.default_rng([seed, 4])
        logits, labels = truth(1000, 3, random)
        made = measured(epochs(logits, 6, 0.1, random), labels, n=1000, seed=seed)
        statuses[diagnosed(replace(made, chosen_by="lowest val_loss")).status] += 1
    assert statuses["flag"] <= 2
    assert statuses["pass"] >= 90


def test_validation_that_chose_nothing_is_not_blamed_and_says_what_is_not_seen() -> None:
    made = lucky(20, 2000, chosen_by="last epoch")
    finding = diagnosed(made)
    assert finding.status == "inconclusive"
    assert "validation chose nothing in this run" in finding.summary
    assert "Tuning runs and other experiments are not seen" in finding.summary


def test_a_last_epoch_passes_only_where_validation_minus_test_accuracy_is_shown_not_to_matter() -> None:
    made = lucky(3, 9000, chosen_by="last epoch")
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 9000)
    right = random.random(9000) < made.val_epochs.correct[made.saved].mean()
    test = Arrays(np.zeros((9000, 1, 4, 4), dtype=np.uint8), labels, np.arange(9000))
    logits = np.eye(3, dtype=np.float32)[np.where(right, labels, (labels + 1) % 3)]
    finding = diagnosed(replace(made, test=test, test_logits=logits))
    assert finding.status == "pass"
    assert finding.evidence["validation_minus_test_accuracy_ci"][1] < LIMITS.harm_accuracy  # type: ignore[index,operator]
    assert "By that difference, an optimism of 2.0 percentage points or more is excluded." in finding.summary


def test_tuning_that_is_stated_cannot_pass_on_this_run_alone() -> None:
    random = np.random.default_rng(0)
    logits, labels = truth(300, 3, random)
    made = measured(epochs(logits, 3, 0.05, random), labels)
    made = replace(made, chosen_by="lowest val_loss")
    alone = diagnosed(made)
    assert alone.status == "pass"
    assert "By cross-fitting, an optimism of 2.0 percentage points or more is excluded." in alone.summary
    finding = diagnosed(made, evaluations=5000)
    assert finding.status == "inconclusive"
    assert finding.evidence["evaluations_counted"] == 5000
    assert finding.evidence["hoeffding_ceiling_if_no_evaluation_was_chosen_by_an_earlier_one"] == hoeffding_ceiling(
        5000, 300, LIMITS.alpha
    )
    assert diagnosed(made, evaluations=1).evidence["evaluations_counted"] == 3, "this run's epochs are evaluations too"


def test_a_low_ceiling_of_hoeffding_passes_no_tuning() -> None:
    """The ceiling holds only where no evaluation was chosen by the score of an earlier one."""
    random = np.random.default_rng(0)
    logits, labels = truth(40_000, 3, random)
    made = replace(measured(epochs(logits, 2, 0.05, random), labels, n=200), chosen_by="lowest val_loss")
    assert hoeffding_ceiling(10, 40_000, LIMITS.alpha) < LIMITS.harm_accuracy
    assert diagnosed(made, evaluations=10).status == "inconclusive"


def test_validation_far_above_test_is_flagged_whatever_this_run_chose() -> None:
    made = lucky(5, 1000, chosen_by="last epoch")
    perfect = np.eye(3, dtype=np.float32)[made.val.labels]
    finding = diagnosed(replace(made, val_logits=perfect))
    assert finding.status == "flag"
    assert "earlier runs were chosen on these validation images, or test is drawn otherwise" in finding.summary


def test_few_images_are_inconclusive_and_fewer_are_not_judged() -> None:
    assert diagnosed(lucky(4, 60, 0)).status == "inconclusive"
    assert diagnosed(lucky(4, 39)).status == "not_run"
