"""Worlds with a known answer: each check raises its own flag, and only that."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from tasks.contracts.findings import Diagnosis, Finding
from tasks.contracts.splits import Arrays
from tasks.core.components import Choice, Component
from tasks.diagnostics.checks import performance
from tasks.diagnostics.crossfit import Comparison
from tasks.diagnostics.harms import harms
from tasks.diagnostics.measured import Limits, Measured
from tasks.diagnostics.verdict import as_text, examine
from tasks.statistics.intervals import wilson
from tests.tasks.diagnostics.test_learning import fallen
from tests.tasks.diagnostics.worlds import LIMITS, epochs, images, measured, truth

# In these worlds of numbers the pictures mean nothing: checks that look at them are tested with trained models.
CHECKS = ("integrity", "learning", "performance", "gap", "overtrained", "overconfident")
CHOICES = [Component("tasks.diagnostics.checks").choose({"name": name}) for name in CHECKS]


def diagnosed(world: Measured, limits: Limits = LIMITS) -> tuple[Diagnosis, dict[str, Finding]]:
    diagnosis = examine(CHOICES, world, limits)
    return diagnosis, {finding.code: finding for finding in diagnosis.findings}


def clean(n: int = 6000, seed: int = 0) -> Measured:
    random = np.random.default_rng(seed)
    logits, labels = truth(n, 3, random)
    return measured(epochs(logits, 6, 0.1, random), labels, seed=seed)


def overtrained(n: int = 2000, seed: int = 0) -> Measured:
    random = np.random.default_rng(seed)
    logits, labels = truth(n, 3, random)
    recorded = epochs(logits, 6, 0.3, random)
    recorded[-1] += 2 * random.normal(size=logits.shape)
    return measured(recorded, labels, seed=seed)


def overconfident(n: int = 2000, seed: int = 0) -> Measured:
    random = np.random.default_rng(seed)
    logits, labels = truth(n, 3, random)
    recorded = epochs(logits, 6, 0.1, random)
    recorded[-1] = 3 * logits
    return measured(recorded, labels, seed=seed)


def overconfident_and_worse(n: int = 500, seed: int = 0) -> Measured:
    """Overtrained: doubled logits plus noise, which temperature scaling cannot remove; too few images to tell the two apart always."""
    random = np.random.default_rng(seed)
    logits, labels = truth(n, 3, random)
    recorded = epochs(logits, 6, 0.1, random)
    recorded[-1] = 2 * (logits + 0.6 * random.normal(size=logits.shape))
    return measured(recorded, labels, seed=seed)


def binary(n: int, majority: float, gain: float, loss: float, seed: int) -> Measured:
    """Two classes: of all images, the model alone is right on a share `gain`, and the majority class alone on a share `loss`."""
    world, random = clean(n=200, seed=seed), np.random.default_rng([seed, n])
    labels = (random.random(n) > majority).astype(np.int64)
    differs = random.random(n) < np.where(labels == 1, gain / (1 - majority), loss / majority)
    logits = np.zeros((n, 3), dtype=np.float32)
    logits[np.arange(n), differs.astype(np.int64)] = 1
    rows = Arrays(world.train.images, np.zeros_like(world.train.labels), world.train.rows)
    return replace(world, train=rows, test=Arrays(images(n, random), labels, np.arange(n)), test_logits=logits)


def useless(world: Measured) -> Measured:
    constant = np.zeros_like(world.test_logits)
    constant[:, np.bincount(world.train.labels).argmax()] = 1
    return replace(world, test_logits=constant)


def leaking(world: Measured, test_rows: list[int]) -> Measured:
    images = world.train.images.copy()
    images[: len(test_rows)] = world.test.images[test_rows]
    return replace(world, train=Arrays(images, world.train.labels, world.train.rows))


def test_clean_world_with_power_is_a_good_fit() -> None:
    diagnosis, findings = diagnosed(clean())
    assert [finding.status for finding in findings.values()] == ["pass", "pass", "pass", "info", "pass", "pass"]
    assert (diagnosis.verdict, diagnosis.flags) == ("good_fit", [])
    assert diagnosis.headline.startswith("Test accuracy is ")
    first, second = diagnosis.headline.splitlines()
    assert first.endswith(
        "None of the checks integrity, learning, performance, overtrained and overconfident raised a flag, and each had enough data to "
        "answer its question."
    )
    assert "Not listed: near_duplicates, shift, support, batch_order, underfit, " in second
    assert second.endswith(" Shortcuts that exist in every split are not looked for.")


@pytest.mark.parametrize("lacking", ["integrity", "learning", "performance", "overtrained", "overconfident"])
def test_without_a_check_that_a_good_fit_needs_there_is_none(lacking: str) -> None:
    few = [choice for choice in CHOICES if choice.name != lacking]
    diagnosis = examine(few, clean(), LIMITS)
    assert (diagnosis.verdict, diagnosis.headline) == ("inconclusive", f"Not listed, but needed for a good fit: {lacking}.")
    assert examine(few, overconfident(), LIMITS).flags == ([] if lacking == "overconfident" else ["overconfident"])


def test_a_verdict_is_answered_where_each_of_its_listed_checks_is_or_one_has_flagged() -> None:
    checks = [Component("tasks.diagnostics.checks").choose({"name": name}) for name in ("integrity", "near_duplicates")]
    world = clean()
    few = Arrays(world.train.images[:10], world.train.labels[:10], world.train.rows[:10])
    unknown = examine(checks, replace(world, train=few), LIMITS)
    assert [finding.status for finding in unknown.findings] == ["pass", "not_run"]
    assert unknown.answered == []
    known = examine(checks, replace(leaking(world, [1]), train=replace(few, images=world.test.images[:10])), LIMITS)
    assert [finding.status for finding in known.findings] == ["flag", "not_run"]
    assert known.answered == ["leakage"]


def test_a_class_of_unknown_recall_is_named_beside_another_flag() -> None:
    world = overconfident()
    rare = (world.test.labels != 2) | (world.test.labels.cumsum() < 12)
    test = Arrays(world.test.images[rare], world.test.labels[rare], world.test.rows[rare])
    checks = [*CHOICES, Component("tasks.diagnostics.checks").choose({"name": "support"})]
    diagnosis = examine(checks, replace(world, test=test, test_logits=world.test_logits[rare]), LIMITS)
    assert diagnosis.flags == ["overconfident", "too_few_examples"]
    _, also, named = diagnosis.headline.splitlines()
    assert also == "Also flagged: too few examples."
    assert named.startswith(f"The recall of class 2 is unknown: {(test.labels == 2).sum()} test image")


def test_world_too_small_to_tell_is_inconclusive_and_says_what_it_could_have_seen() -> None:
    diagnosis, findings = diagnosed(clean(n=40))
    assert diagnosis.verdict == "inconclusive"
    assert findings["overtrained"].status == "inconclusive"
    assert (findings["overtrained"].mde or 0) > LIMITS.harm_nats
    # In nats the interval excludes a harm that matters: only the question that stays open is named.
    assert "40 validation images are too few to detect an increase in error rate of 2.0 percentage points" in diagnosis.headline
    assert "nats from training too long" not in diagnosis.headline


@pytest.mark.parametrize(
    ("count", "rows", "reason"), [(6, 0, "There is no validation set"), (1, 500, "Only one epoch was run")]
)
def test_without_anything_to_compare_the_checks_are_not_run_and_nothing_is_called_good(
    count: int, rows: int, reason: str
) -> None:
    random = np.random.default_rng(0)
    logits, labels = truth(rows, 3, random)
    diagnosis, findings = diagnosed(measured(epochs(logits, count, 0.1, random), labels))
    assert {findings[code].status for code in ("overtrained", "overconfident")} == {"not_run"}
    assert diagnosis.verdict == "inconclusive"
    assert diagnosis.headline.count(reason) == 1
    assert findings["overtrained"].summary == findings["overconfident"].summary == diagnosis.headline


def test_last_epoch_with_more_errors_is_overtrained_and_early_stopping_gains_the_cross_fitted_harm() -> None:
    diagnosis, findings = diagnosed(overtrained())
    assert (diagnosis.verdict, diagnosis.flags) == ("overtrained", ["overtrained"])
    assert findings["overconfident"].status == "pass"
    remedy = findings["overtrained"].remedy
    assert remedy is not None
    assert remedy.action == "Early stopping: set train.early_stopping: {enabled: true, patience: 5, min_delta: 0}."
    gain, ci = remedy.expected_gain, remedy.ci
    assert gain is not None
    assert ci is not None
    assert gain == pytest.approx(
        findings["overconfident"].estimate
    )  # five epochs later there is no better one: it stops at the best
    assert 0 < ci[0] < gain < ci[1]
    assert f"Validation log-loss is {gain:.3f} nats higher (95 % CI" in diagnosis.headline
    assert f"with an expected gain of {gain:.3f} nats (95 % CI" in diagnosis.headline
    assert "at the saved epoch 6 than at epoch" in diagnosis.headline
    assert "Fix: early stopping" in diagnosis.headline


def test_early_stopping_is_not_advised_where_the_saved_epoch_was_already_chosen_so() -> None:
    remedy = diagnosed(replace(overtrained(), chosen_by="lowest val_loss"))[1]["overtrained"].remedy
    assert remedy is not None
    assert remedy.action.startswith(
        "Regularise (train.regularisation.l2, train.augmentation) or use a smaller model; the saved"
    )
    assert remedy.expected_gain is None


def sharper_and_worse(n: int = 1000, seed: int = 0) -> Measured:
    """Epoch 1 is overconfident, epoch 2 is noisier: their log-losses are alike until both are temperature-scaled."""
    random = np.random.default_rng(seed)
    logits, labels = truth(n, 3, random)
    recorded = np.stack([2.2 * logits, 0.8 * (logits + 1.0 * random.normal(size=logits.shape))])
    return measured(recorded.astype(np.float32), labels, seed=seed)


def swayed(n: int = 2000, seed: int = 0) -> Measured:
    """Epoch 2 gets close decisions wrong that epoch 1 got right: more errors at hardly any log-loss."""
    random = np.random.default_rng(seed)
    logits, labels = truth(n, 3, random)
    ranked = np.sort(logits, axis=1)
    turned = logits.copy()
    close = (logits.argmax(axis=1) == labels) & (ranked[:, 2] - ranked[:, 1] < 0.3)
    turned[close, labels[close]] -= 0.3
    return measured(np.stack([logits, turned]).astype(np.float32), labels, seed=seed)


def test_sentence_of_overtrained_cites_the_harm_that_was_shown() -> None:
    cited = Counter[str]()
    for world in (make(seed=seed) for make in (overtrained, sharper_and_worse, swayed) for seed in range(15)):
        finding = diagnosed(world)[1]["overtrained"]
        if finding.status != "flag":
            continue
        assert isinstance(world.comparison, Comparison)
        found, said = harms(world.comparison, LIMITS), finding.summary
        kind = "error" if "The validation error rate" in said else "scaled" if "After temperature scaling" in said else "raw"
        harm = {"raw": found.raw, "scaled": found.scaled, "error": found.error}[kind]
        assert harm.proven(LIMITS.alpha)
        cited[kind] += 1
    assert min(cited[kind] for kind in ("raw", "scaled", "error")) >= 1


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice.module.VERDICT], ids=lambda choice: choice.name)
def test_headline_of_each_flag_states_the_problem_the_numbers_and_the_fix_without_repeating_the_verdict(choice: Choice) -> None:
    worlds = {
        "integrity": leaking(clean(), [1, 2, 3]),
        "learning": fallen(0),
        "performance": useless(clean()),
        "overtrained": overtrained(),
        "overconfident": overconfident(),
    }
    diagnosis, findings = diagnosed(worlds[choice.name])
    assert diagnosis.verdict == choice.module.VERDICT
    assert diagnosis.headline.splitlines()[0] == findings[choice.name].summary
    assert not diagnosis.headline.lower().startswith((diagnosis.verdict[:6], findings[choice.name].title.lower()))
    assert "95 % CI" in diagnosis.headline
    assert " images" in diagnosis.headline[: diagnosis.headline.index(" Fix: ")]
    assert findings[choice.name].remedy is not None


def test_last_epoch_with_tripled_logits_is_overconfident_not_overtrained() -> None:
    diagnosis, findings = diagnosed(overconfident())
    assert (diagnosis.verdict, diagnosis.flags) == ("overconfident", ["overconfident"])
    assert findings["overtrained"].status != "flag"
    remedy = findings["overconfident"].remedy
    assert remedy is not None
    assert remedy.expected_gain == pytest.approx(findings["overconfident"].estimate, rel=0.2)
    assert findings["overconfident"].evidence["temperature_scaling_removes_the_increase"] == "shown"
    assert "Fix: temperature scaling with T = " in diagnosis.headline
    assert "the error rate differs by " in diagnosis.headline
    assert "inconclusive" not in diagnosis.headline
    assert findings["overconfident"].evidence["temperature"] == pytest.approx(3, rel=0.15)


def test_overconfidence_beyond_every_temperature_says_so_and_promises_nothing() -> None:
    logits, labels = truth(2000, 3, np.random.default_rng(0))
    recorded = 160 * epochs(logits, 6, 0.1, np.random.default_rng(1))
    recorded[-1] = 190 * logits
    finding = diagnosed(measured(recorded, labels))[1]["overconfident"]
    assert finding.status == "flag"
    assert "Fix: do not use temperature scaling. The log-loss still falls at the largest temperature that is searched, 148" in (
        finding.summary
    )
    assert "T = " not in finding.summary
    assert "temperature" not in finding.evidence
    assert finding.remedy is not None
    assert finding.remedy.expected_gain is None


def test_temperature_scaling_is_said_to_be_enough_only_where_the_interval_shows_it() -> None:
    """The world is overtrained, and 133 of 150 runs are called so; of the other 17, one claims that scaling removes the increase."""
    runs, called, removed = 60, 0, 0
    for seed in range(runs):
        diagnosis, findings = diagnosed(overconfident_and_worse(seed=seed))
        if diagnosis.verdict == "overtrained":
            continue
        assert diagnosis.verdict == "overconfident"
        called += 1
        left = findings["overconfident"].evidence["loss_increase_after_temperature_scaling_ci"]
        assert isinstance(left, list)
        claimed = "Whether the loss increase that remains after temperature scaling, 0.0" not in diagnosis.headline
        assert claimed == (float(left[1]) < LIMITS.harm_nats)
        assert claimed == (findings["overconfident"].evidence["temperature_scaling_removes_the_increase"] == "shown")
        if not claimed:
            assert findings["overtrained"].status == "inconclusive"
            assert "matters is inconclusive" in diagnosis.headline
        removed += claimed
    assert called >= 3
    assert removed <= LIMITS.alpha * runs


def test_overconfident_on_few_images_leaves_it_open_whether_errors_grew() -> None:
    world = overconfident(n=400)
    diagnosis, findings = diagnosed(world, replace(LIMITS, harm_accuracy=1e-4))
    assert diagnosis.verdict == "overconfident"
    assert findings["overtrained"].status == "inconclusive"
    assert diagnosis.headline.endswith("Whether the error rate increased is inconclusive.")


def test_overconfidence_passes_by_exclusion_only_where_power_is_missing_and_the_interval_ends_below_what_matters() -> None:
    excluded = diagnosed(clean(n=60, seed=1))[1]["overconfident"]
    assert (excluded.status, excluded.by_exclusion) == ("pass", True)
    assert (excluded.ci_high or 0) < LIMITS.harm_nats < (excluded.mde or 0)
    explained = diagnosed(overtrained(n=40))[1]["overconfident"]  # passes because the check overtrained flags
    assert (explained.status, explained.by_exclusion) == ("pass", False)
    assert (explained.mde or 0) > LIMITS.harm_nats


def test_last_epoch_that_became_underconfident_is_not_called_overconfident() -> None:
    logits, labels = truth(2000, 3, np.random.default_rng(0))
    recorded = epochs(logits, 6, 0.1, np.random.default_rng(1))
    recorded[-1] = logits / 10
    _, findings = diagnosed(measured(recorded, labels))
    assert (findings["overconfident"].p_holm or 0) < 0.001
    assert findings["overconfident"].status == "pass"
    assert "not overconfident but underconfident" in findings["overconfident"].summary


def test_early_stopping_that_restored_the_best_epoch_removes_the_flag() -> None:
    world = overtrained(n=6000)
    best = int(world.val_epochs.correct.mean(axis=1).argmax())
    diagnosis, _ = diagnosed(replace(world, saved=best))
    assert diagnosis.flags == []


def test_harm_that_is_proven_to_be_too_small_to_matter_is_not_flagged() -> None:
    world, generous = overconfident(), replace(LIMITS, harm_nats=5.0, harm_accuracy=0.5)
    _, findings = diagnosed(world, generous)
    assert (findings["overconfident"].p_holm or 0) < 0.001
    assert findings["overconfident"].status == "pass"


def test_a_leak_that_matters_comes_before_every_other_verdict() -> None:
    diagnosis, findings = diagnosed(leaking(overtrained(), list(range(100))))
    assert (diagnosis.verdict, diagnosis.flags) == ("leakage", ["leakage", "overtrained"])
    first, second = diagnosis.headline.splitlines()
    assert first.startswith("100 of 2000 test images")
    assert second == "Also flagged: overtrained."
    assert not findings["integrity"].minor


def test_a_leak_of_few_images_is_flagged_with_its_rows_and_hides_no_other_flag() -> None:
    world = leaking(overtrained(), [3, 11, 17])
    diagnosis, findings = diagnosed(world)
    assert (diagnosis.verdict, diagnosis.flags) == ("overtrained", ["overtrained", "leakage"])
    assert diagnosis.headline.endswith("\nAlso flagged: leakage.")
    assert findings["integrity"].minor
    evidence = findings["integrity"].evidence
    assert evidence["leaked_test_rows"] == world.test.rows[[3, 11, 17]].tolist()
    assert (evidence["test_images_in_train"], evidence["validation_images_in_train"]) == (3, 0)
    right = world.test_logits.argmax(-1) == world.test.labels
    assert evidence["accuracy_without_leaked"] == pytest.approx(np.delete(right, [3, 11, 17]).mean())
    summary = findings["integrity"].summary
    assert "3 of 2000 test images" in summary
    assert f"Test accuracy without them: {100 * np.delete(right, [3, 11, 17]).mean():.1f} % (95 % CI" in summary


def test_a_leak_that_matters_to_the_test_set_is_not_minor_though_validation_is_large() -> None:
    _, findings = diagnosed(leaking(clean(), list(range(60))))
    assert (findings["integrity"].estimate or 0) < LIMITS.harm_accuracy <= 60 / 2000
    assert not findings["integrity"].minor


def test_one_leaked_validation_image_is_enough() -> None:
    world = clean()
    images = world.train.images.copy()
    images[5] = world.val.images[7]
    _, findings = diagnosed(replace(world, train=Arrays(images, world.train.labels, world.train.rows)))
    assert findings["integrity"].status == "flag"
    assert findings["integrity"].evidence["leaked_validation_rows"] == [int(world.val.rows[7])]


def test_test_images_in_validation_are_a_leak_where_validation_chose_the_epoch_and_counted_where_it_did_not() -> None:
    world = clean()
    shared = world.test.images.copy()
    shared[[4, 9]] = world.val.images[[1, 2]]
    world = replace(world, test=replace(world.test, images=shared))
    diagnosis, findings = diagnosed(world)
    assert (diagnosis.verdict, findings["integrity"].status) == ("good_fit", "pass")
    assert findings["integrity"].evidence["test_images_in_validation"] == 2
    assert "2 test images are also in the validation set, which did not choose the saved" in findings["integrity"].summary

    diagnosis, findings = diagnosed(replace(world, chosen_by="lowest val_loss"))
    assert diagnosis.verdict == "leakage"
    assert "2 of 2000 test images are also in the validation set that chose the saved epoch" in diagnosis.headline
    evidence = findings["integrity"].evidence
    assert evidence["leaked_test_rows"] == world.test.rows[[4, 9]].tolist()
    assert (evidence["test_images_in_train"], evidence["test_images_in_validation"]) == (0, 2)
    assert findings["integrity"].estimate == 2 / 8000

    both = leaking(replace(world, chosen_by="lowest val_loss"), [11])
    assert (
        "1 of 2000 test images and 0 of 6000 validation images are also training images, and 2 of 2000"
        in diagnosed(both)[0].headline
    )


def test_without_a_leak_the_summary_names_the_count_of_each_pair_of_splits() -> None:
    _, findings = diagnosed(replace(clean(), chosen_by="lowest val_loss"))
    assert findings["integrity"].summary == (
        "None of the 2000 test and 6000 validation images is also a training image (compared pixel for pixel); "
        "0 test images are also in the validation set."
    )


def test_duplicates_within_train_are_counted_but_are_no_leak() -> None:
    world = clean()
    images, labels = world.train.images.copy(), world.train.labels.copy()
    images[1], images[2] = images[0], images[0]
    labels[0], labels[1], labels[2] = 0, 0, 1
    _, findings = diagnosed(replace(world, train=Arrays(images, labels, world.train.rows)))
    assert findings["integrity"].status == "pass"
    assert findings["integrity"].evidence["duplicates_within_train"] == 2
    assert findings["integrity"].evidence["train_images_with_several_labels"] == 1


def test_model_no_better_than_the_most_frequent_class_is_underfit() -> None:
    diagnosis, findings = diagnosed(useless(clean()))
    assert diagnosis.verdict == "underfit"
    assert findings["performance"].evidence["advantage_over_baseline"] == 0
    assert "not meaningfully better than the majority-class baseline of" in diagnosis.headline


@pytest.mark.parametrize(
    ("n", "majority", "advantage", "loss"),
    [(2000, 0.98, 0.0056, 0.004), (500, 0.90, 0.0215, 0.02), (300, 0.90, 0.022, 0.02), (100, 0.50, 0.075, 0.15)],
)
def test_models_that_are_a_little_better_than_the_most_frequent_class_are_not_called_underfit(
    n: int, majority: float, advantage: float, loss: float
) -> None:
    """Of 200 runs 0, 0, 0 and 3 are flagged; "not significant, and below the middle to no error" flagged 38, 47, 53 and 69 in 100."""
    runs = 200
    worlds = [binary(n, majority, advantage + loss, loss, seed) for seed in range(runs)]
    found = [performance.check(world, LIMITS, performance.Settings()) for world in worlds]
    assert sum(finding.status == "flag" for finding in found) <= LIMITS.alpha * runs
    unsure = [finding for finding in found if finding.status == "inconclusive"]
    assert len(unsure) > 0.2 * runs  # without power it is said, with what could have been seen
    assert all(
        f"smallest detectable advantage is {100 * (finding.mde or 0):.1f} percentage points" in finding.summary
        for finding in unsure
    )
    assert all((finding.p_value or 0) > LIMITS.alpha for finding in unsure)


def test_model_that_only_guesses_is_underfit_on_many_rows_and_inconclusive_on_few() -> None:
    statuses = [
        performance.check(binary(n, 0.4, 0.05, 0.05, seed=0), LIMITS, performance.Settings()).status for n in (300, 30_000)
    ]
    assert statuses == ["inconclusive", "flag"]


def test_four_test_rows_cannot_show_that_a_model_is_underfit() -> None:
    world = clean()
    few = Arrays(world.test.images[:4], np.array([0, 1, 2, 0]), world.test.rows[:4])
    logits = np.eye(3, dtype=np.float32)[[0, 1, 0, 1]]  # two of four are right
    _, findings = diagnosed(replace(world, test=few, test_logits=logits))
    assert findings["performance"].status == "inconclusive"


def test_a_model_that_is_hardly_accurate_and_states_probabilities_worse_than_none_does_not_pass() -> None:
    """As a run that diverged ends: 13.9 % of ten classes are right, and the log-loss is hundreds of nats."""
    worlds = [measured_of_ten_classes(right) for right in (0.14, 0.8)]
    hardly, accurate = (performance.check(world, LIMITS, performance.Settings()) for world in worlds)
    assert hardly.status == "inconclusive"
    assert (hardly.p_value or 0) < LIMITS.alpha
    assert "better than the majority-class baseline of" in hardly.summary
    assert "nats is worse than the 2.30" in hardly.summary
    loss, guessed = (float(str(accurate.evidence[name])) for name in ("log_loss", "log_loss_of_class_frequencies"))
    assert loss > guessed
    assert accurate.status == "pass"  # overconfident, which is for other checks to say


def measured_of_ten_classes(right: float) -> Measured:
    """A model that is wholly sure of each answer, of which this share is right."""
    random = np.random.default_rng(0)
    logits, labels = truth(200, 10, random)
    world = measured(epochs(logits, 2, 0.1, random), labels, n=5000)
    frequent = replace(world.test, labels=random.integers(0, 10, 5000))
    answered = np.where(random.random(5000) < right, frequent.labels, (frequent.labels + random.integers(1, 10, 5000)) % 10)
    return replace(world, test=frequent, test_logits=300 * np.eye(10, dtype=np.float32)[answered])


def test_gap_describes_and_never_flags() -> None:
    world = clean()
    memorised = np.where(np.arange(3) == world.train.labels[:, None], 30, 0).astype(np.float32)
    diagnosis, findings = diagnosed(replace(world, train_logits=memorised))
    gap = findings["gap"]
    assert (gap.status, diagnosis.flags) == ("info", [])
    assert gap.evidence["train_accuracy"] == 1
    assert gap.estimate == pytest.approx(findings["performance"].evidence["log_loss"], abs=1e-9)
    assert gap.ci_low is not None
    assert gap.ci_low > 0


def test_a_model_far_below_the_baseline_is_said_to_be_below_it() -> None:
    world = clean(n=200)
    majority = int(np.bincount(world.train.labels).argmax())
    wrong = np.zeros_like(world.test_logits)
    wrong[np.arange(len(wrong)), (world.test.labels + 1) % 3] = 1
    test = replace(world.test, labels=np.where(np.arange(len(wrong)) % 4 == 0, majority, world.test.labels))
    _, findings = diagnosed(replace(world, test=test, test_logits=wrong))
    assert findings["performance"].status == "flag"
    assert "percentage points below it (one-sided 95 % limit)" in findings["performance"].summary


def test_terminal_text_has_the_headline_and_then_status_title_estimate_and_summary_of_each_finding() -> None:
    diagnosis, findings = diagnosed(clean())
    first, second, *lines = as_text(diagnosis).splitlines()
    assert f"{first}\n{second}" == f"Verdict: good fit. {diagnosis.headline}"
    assert [line.split()[0] for line in lines[::2]] == [finding.status for finding in diagnosis.findings]
    assert [line.strip() for line in lines[1::2]] == [finding.summary for finding in diagnosis.findings]
    assert f"Generalization gap: {findings['gap'].estimate:.4f} nats (" in lines[6]
    assert f"Test performance: {100 * (findings['performance'].estimate or 0):.1f} % (" in lines[4]


def test_terminal_text_says_what_a_remedy_rests_on() -> None:
    lines = as_text(diagnosed(overtrained())[0]).splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.startswith("  flag "))
    assert "Fix: early stopping" in lines[place + 1]
    assert lines[place + 2].strip().startswith("Basis: the records of this run. The rule was replayed on the recorded epochs")


def test_same_seed_gives_the_same_findings() -> None:
    assert diagnosed(clean())[0] == diagnosed(clean())[0]


@pytest.mark.slow
def test_verdicts_of_worlds_with_a_known_answer() -> None:
    """Confusion matrix of verdicts, 100 seeds a world; sensitivity and specificity of each flag with Wilson intervals.

    Measured on worlds with power: sensitivity 100 of 100 for each verdict (0.963 to 1), specificity 400 of 400 for each flag
    (0.990 to 1). So the goals of 0.95 and 0.98 are shown, not only met, and asserted by the lower end of the interval.

    Without power: on 40 validation images 95 of 100 are inconclusive, 4 are called overtrained (alpha allows 5) and one a good fit.
    With doubled logits plus noise on 500 images, 90 of 100 are called overtrained, which they are, and the others overconfident,
    with the remaining increase called inconclusive.
    """
    seeds = range(100)
    powered = ("good_fit", "overtrained", "overconfident", "leakage", "underfit")
    runs: dict[str, list[Diagnosis]] = defaultdict(list)
    for seed in seeds:
        whole = clean(seed=seed)
        worlds = {
            "good_fit": whole,
            "overtrained": overtrained(seed=seed),
            "overconfident": overconfident(seed=seed),
            "leakage": leaking(whole, [1, 2]),
            "underfit": useless(whole),
            "40 rows": clean(n=40, seed=seed),
            "overconfident and worse": overconfident_and_worse(seed=seed),
        }
        for name, world in worlds.items():
            runs[name].append(diagnosed(world)[0])
    matrix = {name: Counter(diagnosis.verdict for diagnosis in found) for name, found in runs.items()}
    verdicts = [*powered, "inconclusive"]
    print(f"\n{'world':<24}" + "".join(f"{verdict:>14}" for verdict in verdicts))
    for name, row in matrix.items():
        print(f"{name:<24}" + "".join(f"{row[verdict]:>14}" for verdict in verdicts))

    for name in powered:
        right = matrix[name][name]
        low, high = wilson(right, len(seeds), 0.95)
        print(f"sensitivity {name:<14} {right} of {len(seeds)} ({low:.3f} to {high:.3f})")
        assert low >= 0.95
    for flag in [name for name in powered if name != "good_fit"]:
        others = [flag not in diagnosis.flags for name in powered if name != flag for diagnosis in runs[name]]
        low, high = wilson(sum(others), len(others), 0.95)
        print(f"specificity {flag:<14} {sum(others)} of {len(others)} ({low:.3f} to {high:.3f})")
        assert low >= 0.98

    few, worse = matrix["40 rows"], matrix["overconfident and worse"]
    assert sum(bool(diagnosis.flags) for diagnosis in runs["40 rows"]) <= binom.ppf(0.99, len(seeds), LIMITS.alpha)
    assert few["inconclusive"] >= 90
    assert worse["overtrained"] + worse["overconfident"] == len(seeds)
    assert worse["overtrained"] >= 80
    headlines = [found.headline for found in runs["overconfident and worse"] if found.verdict == "overconfident"]
    said = sum("remains after temperature scaling" not in headline for headline in headlines)
    assert said <= LIMITS.alpha * len(seeds)
