"""Labels that were shuffled, and runs that overfit labels that are true."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts.findings import Finding
from tasks.contracts.splits import Arrays
from tasks.diagnostics.checks import memorised
from tasks.diagnostics.measured import Measured
from tests.tasks.diagnostics.trained import splits, trained
from tests.tasks.diagnostics.worlds import LIMITS, epochs, measured, truth
from tests.tasks.statistics.covering import fewest, most

SIZES = (500, 200, 400)
LONG: dict[str, Any] = {"epochs": 20}


def found(world: Measured) -> Finding:
    return memorised.check(world, LIMITS, memorised.Settings())


def shuffled(data: dict[Any, Arrays], seed: int) -> dict[Any, Arrays]:
    random = np.random.default_rng([seed, 5])
    return {name: replace(rows, labels=random.permutation(rows.labels)) for name, rows in data.items()}


def numbers(n: int, unseen: int, train: float, carried: float, seed: int) -> Measured:
    """Ten classes; a share `train` of the training images is right, and of the unseen ones `carried` more than a guess."""
    random = np.random.default_rng([seed, n])

    def split(count: int, share: float) -> tuple[Any, Any]:
        labels = random.integers(0, 10, count)
        given = np.where(random.random(count) < share, labels, random.integers(0, 10, count))
        return labels, np.eye(10, dtype=np.float32)[given]

    labels, logits = split(unseen, carried)
    world = measured(np.stack([logits, logits]), labels, n=max(n, unseen), seed=seed)
    (train_labels, train_logits), (test_labels, test_logits) = split(max(n, unseen), train), split(max(n, unseen), carried)
    return replace(
        world,
        train=replace(world.train, labels=train_labels),
        train_logits=train_logits,
        test=replace(world.test, labels=test_labels),
        test_logits=test_logits,
    )


def test_shuffled_labels_trained_long_are_memorised_not_overconfident(tmp_path: Path) -> None:
    for seed in range(3):
        finding = found(trained(tmp_path / str(seed), shuffled(splits(SIZES, seed), seed), seed, **LONG))
        assert finding.status == "flag"
        assert finding.summary.startswith(
            "The model memorised its training images and does not generalise (overfitting): accuracy on 500"
        )
        assert "Fix: check that the labels belong to the images in every split" in finding.summary


def test_ordinary_overfitting_and_training_too_long_pass(tmp_path: Path) -> None:
    finding = found(trained(tmp_path, splits(SIZES, 0), epochs=30, optimizer={"name": "adam", "learning_rate": 0.01}))
    assert finding.evidence["train_accuracy"] == 1
    assert finding.status == "pass"
    assert finding.summary.startswith("What was learned carries over to unseen images: ")


def test_shuffled_labels_that_were_not_learned_pass(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 2, "optimizer": {"name": "adam", "learning_rate": 0.0001}}
    finding = found(trained(tmp_path, shuffled(splits(SIZES, 0), 0), **settings))
    assert finding.status == "pass"
    assert finding.summary.startswith("The training images are not memorised: ")


def test_sensitivity_and_false_alarms_on_numbers() -> None:
    """Measured: 98 of 100 flagged where nothing carries over (in two more than a little seems to), none where a tenth or 60 % does."""
    runs = range(100)
    assert sum(found(numbers(500, 250, 0.9, 0.0, seed)).status == "flag" for seed in runs) >= 95
    assert not any(found(numbers(500, 250, 0.95, 0.6, seed)).status == "flag" for seed in runs)
    assert not any(found(numbers(500, 500, 0.9, 0.1, seed)).status == "flag" for seed in runs)


def test_an_advantage_that_is_shown_and_negligible_is_as_good_as_none() -> None:
    tiny, real = found(numbers(2000, 5000, 0.9, 0.02, 0)), found(numbers(2000, 5000, 0.9, 0.1, 0))
    assert tiny.p_value is not None
    assert tiny.p_value < 0.001
    assert (tiny.status, real.status) == ("flag", "pass")


@pytest.mark.parametrize("carried", [0.0, 0.3])
def test_the_interval_covers_the_advantage_on_unseen_images(carried: float) -> None:
    """A model that guesses one label in ten, and knows a share `carried` of the others, has 0.9 times that more than one class."""
    findings = [found(numbers(100, 100, 0.9, carried, seed)) for seed in range(200)]
    held = sum((finding.ci_low or 0) <= 0.9 * carried <= (finding.ci_high or 0) for finding in findings)
    assert fewest(200) <= held <= most(200)


def test_few_unseen_images_are_inconclusive() -> None:
    """Measured: 94 of 100 inconclusive, 3 flags that are right."""
    statuses = [found(numbers(20, 20, 0.5, 0.0, seed)).status for seed in range(50)]
    assert statuses.count("inconclusive") >= 42


def test_without_recorded_images_it_is_not_run() -> None:
    random = np.random.default_rng(0)
    logits, labels = truth(50, 3, random)
    world = measured(epochs(logits, 2, 0.1, random), labels, n=50)
    none = replace(world, train_index=world.train_index[:0], train_logits=world.train_logits[:0])
    assert found(none).status == "not_run"


@pytest.mark.slow
def test_how_often_shuffled_labels_are_called_memorised(tmp_path: Path) -> None:
    """Measured: 20 of 20 and none of 20, of which the first ten are seen here."""
    runs = range(10)
    memory = [found(trained(tmp_path / f"m{seed}", shuffled(splits(SIZES, seed), seed), seed, **LONG)) for seed in runs]
    true = [found(trained(tmp_path / f"t{seed}", splits(SIZES, seed), seed, **LONG)) for seed in runs]
    assert all(finding.status == "flag" for finding in memory)
    assert not any(finding.status == "flag" for finding in true)
