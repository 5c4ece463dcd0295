"""Models that fit too little, next to references; and models that fit well or too much."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts.findings import Finding
from tasks.contracts.splits import Arrays
from tasks.core.components import Component
from tasks.diagnostics.checks import underfit
from tasks.diagnostics.measured import Measured
from tasks.diagnostics.references import Reference, references
from tasks.diagnostics.verdict import examine
from tests.tasks.diagnostics.trained import pictures, splits, trained
from tests.tasks.diagnostics.worlds import LIMITS, epochs, measured, truth
from tests.tasks.statistics.covering import fewest, most

SIZES = (500, 500, 100)
NARROW: dict[str, Any] = {
    "model": {"name": "mlp", "hidden": [3]},
    "epochs": 20,
    "optimizer": {"name": "adam", "learning_rate": 0.01},
}
PENALTY: dict[str, Any] = {"epochs": 15, "regularisation": {"l2": 0.3}}
LINEAR: dict[str, Any] = {"model": {"name": "linear"}, "epochs": 40, "optimizer": {"name": "adam", "learning_rate": 0.01}}


def found(world: Measured) -> Finding:
    return underfit.check(world, LIMITS, underfit.Settings(trees=20))


def xor(sizes: tuple[int, int, int], seed: int) -> dict[Any, Arrays]:
    """Images whose left and right halves are bright or dark; the label says whether the halves differ."""
    random = np.random.default_rng([seed, 8])
    halves = random.integers(0, 2, size=(sum(sizes), 2))
    shown = 0.5 + 0.25 * (2 * halves - 1).repeat(4, axis=1)[:, None, :] + 0.15 * random.normal(size=(sum(sizes), 8, 8))
    images, labels = (255 * shown.clip(0, 1)).astype(np.uint8)[:, None], halves.sum(axis=1) % 2
    bounds, rows = np.cumsum([0, *sizes]), np.arange(sum(sizes))
    return {
        name: Arrays(images[start:stop], labels[start:stop], rows[start:stop])
        for name, start, stop in zip(("train", "val", "test"), bounds[:-1], bounds[1:], strict=True)
    }


def test_a_linear_model_of_xor_is_underfit_and_the_nearest_neighbour_shows_it(tmp_path: Path) -> None:
    world = trained(tmp_path, xor((600, 250, 150), 0), **LINEAR)
    finding = found(world)
    assert finding.status == "flag"
    assert finding.evidence["validation_accuracy_of_1-nearest_neighbour"] == 1
    assert finding.evidence["train_accuracy"] < 0.75  # type: ignore[operator]
    assert "the model's accuracy on its own training images" in finding.summary
    names = ("integrity", "learning", "performance", "underfit", "undertrained", "memorised", "overtrained", "overconfident")
    checks = [Component("tasks.diagnostics.checks").choose({"name": name}) for name in names]
    assert examine(checks, world, LIMITS).verdict == "underfit"


@pytest.mark.parametrize("settings", [NARROW, PENALTY], ids=["three hidden units", "strong l2"])
def test_too_small_and_too_penalised_models_are_underfit(tmp_path: Path, settings: dict[str, Any]) -> None:
    finding = found(trained(tmp_path, splits(SIZES, 0), **settings))
    assert finding.status == "flag"
    assert finding.summary.startswith("A simple reference does better (logistic regression: ")
    assert "Fix: use a larger train.model" in finding.summary


def test_good_and_overfitted_models_are_not_underfit(tmp_path: Path) -> None:
    for name, settings in (
        ("good", {"epochs": 8}),
        ("long", {"epochs": 30, "optimizer": {"name": "adam", "learning_rate": 0.01}}),
    ):
        assert found(trained(tmp_path / name, splits(SIZES, 0), **settings)).status != "flag", name


def test_a_model_that_fits_its_images_is_not_underfit_though_a_reference_generalises_better(tmp_path: Path) -> None:
    world = trained(tmp_path, splits(SIZES, 0), epochs=8)
    train = 30 * np.eye(10, dtype=np.float32)[world.train.labels]
    guess = np.random.default_rng(0).normal(size=world.val_logits.shape).astype(np.float32)
    finding = found(replace(world, train_logits=train, val_logits=guess))
    assert finding.status == "pass"
    assert finding.summary.startswith("Not underfitted, as accuracy on training images is 100.0 %; but a simple reference ")
    assert not finding.by_exclusion, "the interval does not end below what matters"
    assert finding.note.startswith("A simple reference is more accurate than the model: logistic regression ")
    assert " % on 500 validation images (p = " in finding.note
    checks = [Component("tasks.diagnostics.checks").choose({"name": name}) for name in ("underfit", "selection")]
    assert finding.note in examine(checks, replace(world, train_logits=train, val_logits=guess), LIMITS).headline


def test_a_pass_is_by_exclusion_where_the_interval_ends_below_what_matters(tmp_path: Path) -> None:
    world = trained(tmp_path, splits(SIZES, 0), epochs=8)
    finding = found(replace(world, val_logits=np.eye(10, dtype=np.float32)[world.val.labels]))
    assert (finding.status, finding.by_exclusion, finding.note) == ("pass", True, "")
    assert (finding.ci_high or 0) < LIMITS.harm_accuracy < (finding.mde or 0)


def test_few_validation_images_are_inconclusive(tmp_path: Path) -> None:
    finding = found(trained(tmp_path, splits((500, 30, 100), 0), epochs=8))
    assert finding.status == "inconclusive"
    assert finding.summary.startswith("30 validation images are too few ")


def test_labels_that_images_do_not_show_raise_no_flag() -> None:
    flags = 0
    for seed in range(20):
        logits, labels = truth(300, 3, np.random.default_rng(seed))
        guess = np.random.default_rng([seed, 1]).normal(size=logits.shape)
        world = measured(epochs(guess, 2, 0.0, np.random.default_rng(seed)), labels, n=200, seed=seed)
        flags += found(replace(world, train_logits=world.train_logits * 0)).status == "flag"
    assert flags == 0


def test_references_are_fitted_on_train_alone_and_repeatable() -> None:
    data = splits((300, 200, 10), 0)
    first, second = (list(references(data["train"], data["val"].images, 200, 10, seed=3)) for _ in range(2))
    assert [reference.name for reference in first] == [
        "majority class",
        "logistic regression",
        "1-nearest neighbour",
        "random forest",
    ]
    assert all(np.array_equal(one.answers, two.answers) for one, two in zip(first, second, strict=True))
    assert [reference.fit is None for reference in first] == [True, False, True, True]


def test_the_interval_of_the_strongest_reference_covers_its_advantage() -> None:
    """Two references are nearly equally good, so that chance decides which is reported."""
    runs, held, names = 500, 0, set()
    (images, labels), random = pictures(20_000, 999), np.random.default_rng(0)
    asked = list(references(splits((100, 1, 1), 0)["train"], images, 100, 5, seed=0))
    wrong = random.random(20_000) < np.where(asked[1].answers == labels, 0.5, 0.7)  # errs on much the same images
    truth_of = {reference.name: float(wrong.mean() - (reference.answers != labels).mean()) for reference in asked}
    for _ in range(runs):
        rows = random.choice(20_000, 200, replace=False)
        seen = [Reference(reference.name, reference.answers[rows]) for reference in asked]
        strongest = max(underfit.compare(seen, wrong[rows], labels[rows], LIMITS), key=lambda rival: rival.accuracy)
        found = strongest.harm.contrast
        held += found.low <= truth_of[strongest.name] <= found.high
        names.add(strongest.name)
    assert len(names) > 1
    assert fewest(runs) <= held <= most(runs)


def test_without_validation_it_is_not_run() -> None:
    world = measured(np.zeros((1, 0, 3), dtype=np.float32), np.zeros(0, dtype=np.int64), n=10)
    assert found(world).status == "not_run"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flagged", "data", "settings"),
    [
        (True, lambda seed: xor((600, 250, 150), seed), LINEAR),
        (True, lambda seed: splits(SIZES, seed), NARROW),
        (True, lambda seed: splits(SIZES, seed), PENALTY),
        (False, lambda seed: splits(SIZES, seed), {"epochs": 8}),
    ],
    ids=["xor", "narrow", "penalty", "good"],
)
def test_how_often_each_world_is_called_right(
    tmp_path: Path, data: Callable[[int], dict[Any, Arrays]], settings: dict[str, Any], *, flagged: bool
) -> None:
    """Measured: 20 of 20 in each, of which the first ten are seen here."""
    worlds = (trained(tmp_path / str(seed), data(seed), seed, **settings) for seed in range(10))
    assert [world.seed for world in worlds if (found(world).status == "flag") != flagged] == []
