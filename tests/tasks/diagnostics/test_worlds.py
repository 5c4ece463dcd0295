"""Worlds with a known answer: each check raises its own flag, and only that."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.contracts.findings import Diagnosis, Finding
from tasks.diagnostics import REGISTRY
from tasks.diagnostics.measured import Limits, Measured, Rows
from tasks.diagnostics.verdict import as_text, conclude
from tests.tasks.diagnostics.worlds import LIMITS, epochs, measured, truth


def diagnosed(world: Measured, limits: Limits = LIMITS) -> tuple[Diagnosis, dict[str, Finding]]:
    diagnosis = conclude([entry.check(world, replace(limits, seed=world.seed)) for entry in REGISTRY.values()])
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


def leaking(world: Measured, test_rows: list[int]) -> Measured:
    images = world.train.images.copy()
    images[: len(test_rows)] = world.test.images[test_rows]
    return replace(world, train=Rows(images, world.train.labels, world.train.rows))


def test_clean_world_with_power_is_a_good_fit() -> None:
    diagnosis, findings = diagnosed(clean())
    assert {finding.status for finding in findings.values()} == {"pass"}
    assert (diagnosis.verdict, diagnosis.flags) == ("good_fit", [])
    assert "Good fit: accuracy 0." in diagnosis.headline


def test_world_too_small_to_tell_is_inconclusive_and_says_what_it_could_have_seen() -> None:
    diagnosis, findings = diagnosed(clean(n=40))
    assert diagnosis.verdict == "inconclusive"
    assert findings["overtrained"].status == "inconclusive"
    assert (findings["overtrained"].mde or 0) > LIMITS.harm_nats
    assert "Cannot tell: 40 validation rows cannot show a harm as small as 0.03 nats" in diagnosis.headline


@pytest.mark.parametrize(("count", "rows", "reason"), [(6, 0, "no validation set"), (1, 500, "only one epoch")])
def test_without_anything_to_compare_the_checks_are_not_run_and_nothing_is_called_good(
    count: int, rows: int, reason: str
) -> None:
    random = np.random.default_rng(0)
    logits, labels = truth(rows, 3, random)
    diagnosis, findings = diagnosed(measured(epochs(logits, count, 0.1, random), labels))
    assert {findings[code].status for code in ("overtrained", "overconfident")} == {"not_run"}
    assert diagnosis.verdict == "inconclusive"
    assert diagnosis.headline.count(reason) == 1
    assert reason in str(findings["overtrained"].evidence["reason"])


def test_last_epoch_with_more_errors_is_overtrained_and_early_stopping_gains_the_cross_fitted_harm() -> None:
    diagnosis, findings = diagnosed(overtrained())
    assert (diagnosis.verdict, diagnosis.flags) == ("overtrained", ["overtrained"])
    assert findings["overconfident"].status == "pass"
    remedy = findings["overtrained"].remedy
    assert remedy is not None
    assert remedy.action == "set train.early_stopping.enabled: true"
    assert remedy.expected_gain == findings["overconfident"].estimate
    assert f"epoch 6 loses {remedy.expected_gain:.3f} nats" in diagnosis.headline


def test_last_epoch_with_tripled_logits_is_overconfident_not_overtrained() -> None:
    diagnosis, findings = diagnosed(overconfident())
    assert (diagnosis.verdict, diagnosis.flags) == ("overconfident", ["overconfident"])
    assert findings["overtrained"].status != "flag"
    remedy = findings["overconfident"].remedy
    assert remedy is not None
    assert remedy.expected_gain == pytest.approx(findings["overconfident"].estimate, rel=0.2)
    assert findings["overconfident"].evidence["temperature"] == pytest.approx(3, rel=0.15)


def test_last_epoch_that_became_too_cautious_is_not_called_overconfident() -> None:
    world = overconfident()
    recorded = world.val_logits.copy()
    recorded[-1] /= 30
    _, findings = diagnosed(replace(world, val_logits=recorded))
    assert (findings["overconfident"].p_holm or 0) < 0.001
    assert findings["overconfident"].status == "pass"
    assert "too cautious" in str(findings["overconfident"].evidence["summary"])


def test_early_stopping_that_restored_the_best_epoch_mends_the_flag() -> None:
    world = overtrained(n=6000)
    best = int(np.argmin([np.mean(world.val_logits[epoch].argmax(-1) != world.val.labels) for epoch in range(5)]))
    diagnosis, _ = diagnosed(replace(world, delivered=best))
    assert diagnosis.flags == []


def test_harm_that_is_proven_to_be_too_small_to_matter_is_not_flagged() -> None:
    world, generous = overconfident(), replace(LIMITS, harm_nats=5.0, harm_accuracy=0.5)
    _, findings = diagnosed(world, generous)
    assert (findings["overconfident"].p_holm or 0) < 0.001
    assert findings["overconfident"].status == "pass"


def test_planted_leak_is_flagged_with_its_rows_and_comes_before_every_other_verdict() -> None:
    world = leaking(overtrained(), [3, 11, 17])
    diagnosis, findings = diagnosed(world)
    assert diagnosis.verdict == "leakage"
    assert diagnosis.flags == ["leakage", "overtrained"]
    evidence = findings["integrity"].evidence
    assert evidence["leaked_test_rows"] == world.test.rows[[3, 11, 17]].tolist()
    assert (evidence["test_rows_in_train"], evidence["val_rows_in_train"]) == (3, 0)
    right = world.test_logits.argmax(-1) == world.test.labels
    assert evidence["accuracy_without_leaked"] == pytest.approx(np.delete(right, [3, 11, 17]).mean())
    assert "3 of 2000 test images" in diagnosis.headline


def test_one_leaked_validation_image_is_enough() -> None:
    world = clean()
    images = world.train.images.copy()
    images[5] = world.val.images[7]
    _, findings = diagnosed(replace(world, train=Rows(images, world.train.labels, world.train.rows)))
    assert findings["integrity"].status == "flag"
    assert findings["integrity"].evidence["leaked_val_rows"] == [int(world.val.rows[7])]


def test_duplicates_within_train_are_counted_but_are_no_leak() -> None:
    world = clean()
    images, labels = world.train.images.copy(), world.train.labels.copy()
    images[1], images[2] = images[0], images[0]
    labels[0], labels[1], labels[2] = 0, 0, 1
    _, findings = diagnosed(replace(world, train=Rows(images, labels, world.train.rows)))
    assert findings["integrity"].status == "pass"
    assert findings["integrity"].evidence["train_duplicates"] == 2
    assert findings["integrity"].evidence["train_images_with_several_labels"] == 1


def test_model_no_better_than_the_most_frequent_class_is_underfit() -> None:
    world = clean()
    constant = np.zeros_like(world.test_logits)
    constant[:, np.bincount(world.train.labels).argmax()] = 1
    diagnosis, findings = diagnosed(replace(world, test_logits=constant))
    assert diagnosis.verdict == "underfit"
    assert findings["performance"].evidence["advantage"] == 0


def test_four_test_rows_cannot_show_that_a_model_is_underfit() -> None:
    world = clean()
    few = Rows(world.test.images[:4], np.array([0, 1, 2, 0]), world.test.rows[:4])
    logits = np.eye(3, dtype=np.float32)[[0, 1, 0, 1]]  # two of four are right
    _, findings = diagnosed(replace(world, test=few, test_logits=logits))
    assert findings["performance"].status == "inconclusive"


def test_gap_describes_and_never_flags() -> None:
    world = clean()
    memorised = np.where(np.arange(3) == world.train.labels[:, None], 30, 0).astype(np.float32)
    diagnosis, findings = diagnosed(replace(world, train_logits=memorised))
    gap = findings["gap"]
    assert (gap.status, diagnosis.flags) == ("pass", [])
    assert gap.evidence["train_accuracy"] == 1
    assert gap.estimate == pytest.approx(findings["performance"].evidence["log_loss"], abs=1e-9)
    assert gap.ci_low is not None
    assert gap.ci_low > 0


def test_terminal_text_has_the_headline_and_a_line_a_finding() -> None:
    diagnosis, _ = diagnosed(clean())
    lines = as_text(diagnosis).splitlines()
    assert lines[0] == f"good_fit: {diagnosis.headline}"
    assert [line.split()[1] for line in lines[1:]] == list(REGISTRY)


def test_same_seed_gives_the_same_findings() -> None:
    assert diagnosed(clean())[0] == diagnosed(clean())[0]


@pytest.mark.slow
def test_every_world_is_named_rightly_over_twenty_seeds() -> None:
    worlds = {
        "good_fit": clean,
        "overtrained": overtrained,
        "overconfident": overconfident,
        "leakage": lambda seed: leaking(clean(seed=seed), [1, 2]),
        "inconclusive": lambda seed: clean(n=40, seed=seed),
    }
    for expected, world in worlds.items():
        verdicts = [diagnosed(world(seed=seed))[0].verdict for seed in range(20)]  # type: ignore[operator]
        print(expected, {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))})
        assert verdicts.count(expected) >= 18  # type: ignore[arg-type]
