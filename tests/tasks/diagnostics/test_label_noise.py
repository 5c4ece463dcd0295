"""Wrong labels, planted at a known rate: their share is found, their rows come first, and honest errors are not called so."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tasks.contracts.findings import Finding
from tasks.contracts.splits import Arrays, SplitName
from tasks.core.components import Component
from tasks.diagnostics.candidates import area_under_margin, label_candidates
from tasks.diagnostics.measured import Measured
from tasks.statistics.arrays import Bools
from tasks.statistics.intervals import wilson
from tasks.statistics.label_noise import accuracy_on_right_labels, wrong_labels
from tests.tasks.diagnostics.trained import CLASSES, splits, trained
from tests.tasks.diagnostics.worlds import LIMITS, epochs, measured, truth
from tests.tasks.statistics.covering import between, fewest

CHECK = Component("tasks.diagnostics.checks").choose({"name": "label_noise"})
SIZES = (2000, 500, 1000)


def diagnosed(world: Measured, **options: Any) -> Finding:
    choice = Component("tasks.diagnostics.checks").choose({"name": "label_noise", **options})
    finding = choice.module.check(world, LIMITS, choice.settings)
    assert isinstance(finding, Finding)
    return finding


def flipped(
    data: Mapping[SplitName, Arrays], share: float, seed: int
) -> tuple[dict[SplitName, Arrays], dict[SplitName, Bools]]:
    """The same rows with a share of the labels replaced by another class, and which."""
    random = np.random.default_rng([seed, 5])
    wrong = {name: random.random(len(rows.labels)) < share for name, rows in data.items()}
    others = {name: (rows.labels + random.integers(1, CLASSES, len(rows.labels))) % CLASSES for name, rows in data.items()}
    labels = {name: np.where(wrong[name], others[name], rows.labels) for name, rows in data.items()}
    return {name: replace(rows, labels=labels[name]) for name, rows in data.items()}, wrong


def world(root: Path, seed: int, share: float, noise: float = 0.25, **settings: Any) -> tuple[Measured, dict[SplitName, Bools]]:
    data, wrong = flipped(splits(SIZES, seed, noise), share, seed)
    return trained(root, data, seed, **settings), wrong


def numbers(seed: int, sharpness: float, classes: int, heat: float = 1.0, n: int = 1500) -> Measured:
    """Honest errors: labels drawn from calibrated probabilities, stated by logits that are `heat` times too large."""
    random = np.random.default_rng([seed, 8])
    logits, labels = truth(n, classes, random, sharpness)
    made = measured(heat * epochs(logits, 2, 0.3, random), labels, n=n, seed=seed)
    test, test_labels = truth(n, classes, random, sharpness)
    return replace(
        made,
        test=replace(made.test, labels=test_labels),
        test_logits=(heat * (test + 0.3 * random.normal(size=test.shape))).astype(np.float32),
    )


WORLDS = {"stopped early": {"early_stopping": {"enabled": True}}, "trained long": {"epochs": 40}}


@pytest.mark.parametrize("settings", WORLDS.values(), ids=WORLDS)
def test_ten_percent_of_flipped_labels_are_flagged_and_test_accuracy_is_a_lower_bound(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    made, wrong = world(tmp_path, 0, 0.1, **settings)
    finding = diagnosed(made)
    assert finding.status == "flag"
    assert finding.ci_low is not None
    assert finding.ci_high is not None
    assert finding.ci_low < np.concatenate([wrong["val"], wrong["test"]]).mean() < finding.ci_high
    limits = finding.evidence["test_accuracy_if_labels_were_right_ci"]
    assert isinstance(limits, list)
    true = splits(SIZES, 0)["test"].labels
    low, high = wilson(int((made.test_logits.argmax(1) == made.test.labels).sum()), len(true), 0.95)
    assert float(limits[1]) - float(limits[0]) > high - low  # the number of test images limits it too
    assert float(limits[0]) < (made.test_logits.argmax(1) == true).mean() < float(limits[1])
    assert "a lower bound" in finding.summary
    assert " images" in finding.summary[: finding.summary.index(" Fix: ")]


def test_candidates_are_the_planted_rows_and_their_suggested_class_is_mostly_the_true_one(tmp_path: Path) -> None:
    made, wrong = world(tmp_path, 0, 0.1, epochs=20)
    true = splits(SIZES, 0)
    for name in wrong:
        found = label_candidates(made, name, 20)
        assert [candidate.margin for candidate in found] == sorted(candidate.margin for candidate in found)
        assert np.mean([wrong[name][candidate.position] for candidate in found]) >= 0.85
        rows = getattr(made, name)
        assert all(rows.rows[candidate.position] == candidate.row for candidate in found)
        assert all(rows.labels[candidate.position] == candidate.given != candidate.suggested for candidate in found)
        assert np.mean([true[name].labels[candidate.position] == candidate.suggested for candidate in found]) >= 0.6
    listed = diagnosed(made, candidates=7).evidence
    assert listed["train_candidate_rows"] == [candidate.row for candidate in label_candidates(made, "train", 7)]
    assert listed["test_candidate_margin"] == [candidate.margin for candidate in label_candidates(made, "test", 7)]


def test_area_under_the_margin_up_to_the_best_epoch_finds_flips_better_than_over_all_epochs(tmp_path: Path) -> None:
    made, wrong = world(tmp_path, 1, 0.1, epochs=40)
    planted, margins = wrong["train"], made.train_epochs.margin.astype(np.float64)
    until_best = roc_auc_score(planted, -area_under_margin(made))
    assert until_best >= 0.95
    assert until_best > roc_auc_score(planted, -margins.mean(axis=0)) + 0.01
    assert until_best > roc_auc_score(planted, -margins[-1]) + 0.05


def test_without_validation_the_margin_is_averaged_up_to_the_saved_epoch() -> None:
    random = np.random.default_rng(0)
    logits, labels = truth(0, 3, random)
    made = replace(measured(epochs(logits, 4, 0.1, random), labels), saved=1)
    varied = replace(made.train_epochs, margin=made.train_epochs.margin * np.arange(4, dtype=np.float16)[:, None])
    expected = varied.margin[:2].astype(np.float64).mean(axis=0)
    assert area_under_margin(replace(made, train_epochs=varied)) == pytest.approx(expected)
    assert label_candidates(made, "val", 5) == []


@pytest.mark.parametrize("noise", [0.25, 0.35])
def test_honest_errors_of_a_hard_problem_are_not_wrong_labels(tmp_path: Path, noise: float) -> None:
    made, _ = world(tmp_path, 0, 0.0, noise)
    finding = diagnosed(made)
    assert (made.test_logits.argmax(1) != made.test.labels).mean() > 0.2
    assert finding.status == "pass"
    assert finding.summary.endswith("wrong on train alone, or that always name a similar class, are not seen.")
    assert finding.remedy is None


def test_calibrated_and_overconfident_numbers_raise_no_false_alarm() -> None:
    statuses = Counter(
        diagnosed(numbers(seed, sharpness, classes, heat), candidates=1).status
        for seed in range(2)
        for sharpness in (1.0, 3.0)
        for classes in (2, 10)
        for heat in (1.0, 4.0)
    )
    assert statuses["flag"] == 0
    assert statuses["pass"] > 0


@pytest.mark.parametrize("classes", [2, 10])
def test_the_interval_covers_the_planted_share(classes: int) -> None:
    covered, runs, share = 0, 40, 0.08
    for seed in range(runs):
        random = np.random.default_rng([seed, classes])
        logits, labels = truth(1000, classes, random)
        wrong = random.random(1000) < share
        labels = np.where(wrong, (labels + random.integers(1, classes, 1000)) % classes, labels)
        found = wrong_labels(2 * logits, labels, 0.95)
        covered += found.low <= share <= found.high
    assert covered >= 34  # of 40 at 95 %: fewer come with a probability of 0.3 %


def test_the_interval_covers_the_accuracy_on_right_labels() -> None:
    """Of a model that is right on about 66 % of the right labels, of which 8 % were replaced."""
    runs, held = 60, 0
    right, sure = truth(200_000, 10, np.random.default_rng(999))
    accuracy = float((right.argmax(axis=1) == sure).mean())
    for seed in range(runs):
        random, made = np.random.default_rng([seed, 9]), numbers(seed, 3.0, 10, n=300)
        val, test = (
            np.where(random.random(300) < 0.08, (rows.labels + random.integers(1, 10, 300)) % 10, rows.labels)
            for rows in (made.val, made.test)
        )
        made = replace(made, val=replace(made.val, labels=val), test=replace(made.test, labels=test))
        low, high = between(diagnosed(made, candidates=1).evidence, "test_accuracy_if_labels_were_right_ci")
        held += low <= accuracy <= high
    assert held >= fewest(runs)


def test_too_few_images_are_inconclusive_and_say_what_they_could_have_shown() -> None:
    finding = diagnosed(numbers(0, 3.0, 10, n=30))
    assert finding.status == "inconclusive"
    assert finding.mde is not None
    assert finding.mde > 0.02
    assert f"would be flagged with a power of 80 % is {100 * finding.mde:.1f} %" in finding.summary
    assert "60 validation and test images do not show whether 2.0 % or more" in finding.summary


def test_a_model_that_is_no_better_than_the_majority_class_says_nothing_about_labels() -> None:
    made = numbers(0, 3.0, 10)
    random = np.random.default_rng(0)
    useless = replace(
        made,
        val_logits=1000 * random.normal(size=made.val_logits.shape).astype(np.float32),
        test_logits=1000 * random.normal(size=made.test_logits.shape).astype(np.float32),
    )
    finding = diagnosed(useless)
    assert (finding.status, finding.estimate) == ("inconclusive", None)
    assert "not shown to be better than the majority-class baseline" in finding.summary


def test_logits_whose_temperature_is_out_of_reach_say_nothing_about_labels() -> None:
    finding = diagnosed(numbers(0, 3.0, 10, heat=1e4))
    assert (finding.status, finding.estimate) == ("inconclusive", None)
    assert "no temperature was found: the logits are far too large" in finding.summary


def test_logits_that_are_not_finite_are_not_judged() -> None:
    made = numbers(0, 3.0, 10)
    broken = made.test_logits.copy()
    broken[3] = np.nan
    assert diagnosed(replace(made, test_logits=broken)).status == "not_run"


def test_accuracy_on_right_labels_undoes_random_flips() -> None:
    accuracy, share, classes = 0.83, 0.1, 10
    seen = accuracy * (1 - share) + (1 - accuracy) * share / (classes - 1)
    assert accuracy_on_right_labels(seen, share, classes) == pytest.approx(accuracy)
    assert accuracy_on_right_labels(0.5, 0.5, 2) == 0.5  # nothing can be undone


@pytest.mark.slow
def test_sensitivity_and_false_alarms_on_trained_models(tmp_path: Path) -> None:
    """Measured: 20 of 20 flagged and 20 of 20 passed, of which the first ten are seen here."""
    flipped = [diagnosed(world(tmp_path / f"{seed}", seed, 0.1, epochs=8)[0]).status for seed in range(10)]
    clean = [diagnosed(world(tmp_path / f"c{seed}", seed, 0.0, 0.35, epochs=8)[0]).status for seed in range(10)]
    assert flipped == 10 * ["flag"]
    assert clean == 10 * ["pass"]


@pytest.mark.slow
def test_no_false_alarm_in_a_hundred_worlds_of_numbers() -> None:
    statuses = Counter(
        diagnosed(numbers(seed, sharpness, classes, heat), candidates=1).status
        for seed in range(100, 115)
        for sharpness in (1.0, 3.0)
        for classes in (2, 10)
        for heat in (1.0, 4.0)
    )
    assert statuses["flag"] <= 2  # of 120
