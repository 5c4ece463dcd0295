"""Runs that did not learn: stuck, diverged, diverged after they had learned; and runs that did."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts.findings import Finding
from tasks.contracts.splits import Arrays
from tasks.core.errors import TrainingError
from tasks.diagnose import Diagnose
from tasks.diagnostics.checks import learning
from tasks.diagnostics.measured import Measured
from tasks.diagnostics.verdict import examine
from tasks.statistics.calibration import log_losses
from tests.tasks.diagnostics.trained import splits, trained
from tests.tasks.diagnostics.worlds import LIMITS, epochs, measured, truth
from tests.tasks.statistics.covering import fewest, most

SIZES = (500, 200, 200)
Data = dict[Any, Arrays]


def found(world: Measured) -> Finding:
    return learning.check(world, LIMITS, learning.Settings())


def adam(rate: float) -> dict[str, Any]:
    return {"optimizer": {"name": "adam", "learning_rate": rate}}


def shuffled(data: Data, seed: int) -> Data:
    random = np.random.default_rng([seed, 5])
    return {name: replace(rows, labels=random.permutation(rows.labels)) for name, rows in data.items()}


def test_a_run_that_hardly_moved_did_not_learn_and_is_told_to_raise_the_rate(tmp_path: Path) -> None:
    finding = found(trained(tmp_path, splits(SIZES, 1), epochs=3, **adam(1e-8)))
    assert finding.status == "flag"
    assert finding.summary.startswith(
        "Nothing was learned, not even of the training images: log-loss on 500 training images is "
    )
    assert "Fix: raise train.optimizer.learning_rate (it reached 1e-08)" in finding.summary


def test_a_run_that_diverged_from_the_start_did_not_learn_and_is_told_to_lower_the_rate(tmp_path: Path) -> None:
    finding = found(trained(tmp_path, splits(SIZES, 1), optimizer={"name": "sgd", "learning_rate": 2.0}))
    assert finding.status == "flag"
    assert finding.summary.startswith("The run diverged: log-loss on 500 training images is ")
    assert "Fix: lower train.optimizer.learning_rate (it reached 2)" in finding.summary
    assert (finding.ci_high or 0) < -1


def test_the_digits_at_far_too_high_a_rate_did_not_learn_or_their_training_stops(tmp_path: Path) -> None:
    """At a rate of 1 the loss first falls below that of the class frequencies and then rises again, at 5 it never gets there."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images, labels = (16 * digits.images).clip(0, 255).astype(np.uint8)[:, None], digits.target.astype(np.int64)
    parts = dict(zip(("train", "val", "test"), np.split(order, [755, 1257]), strict=True))
    data: Data = {name: Arrays(images[rows], labels[rows], rows) for name, rows in parts.items()}
    for rate in (1.0, 5.0):
        diagnosis = examine(Diagnose().checks, trained(tmp_path / str(rate), data, epochs=10, **adam(rate)), LIMITS)
        assert diagnosis.verdict == "did_not_learn"
        assert diagnosis.headline.startswith("The run diverged: ")
        assert f"Fix: lower train.optimizer.learning_rate (it reached {rate:g})" in diagnosis.headline
    with pytest.raises(TrainingError, match=r"it is 50 \(train\.optimizer\.learning_rate\); try a tenth of it"):
        trained(tmp_path / "50", data, epochs=10, **adam(50.0))


@pytest.mark.parametrize(("rise", "minor"), [(0, True), (1, True), (3, False)])
def test_only_a_rise_that_lasted_makes_a_run_that_knows_next_to_nothing_one_that_diverged(rise: int, minor: bool) -> None:
    """The losses of the epochs, of which the last is saved: without a rise, with one in the first epochs, and with one at the end."""
    random = np.random.default_rng(0)
    logits, labels = truth(400, 3, random)
    world = measured(epochs(logits, 4, 0.1, random), labels, n=400)
    losses = np.full((4, 400), 1.05)  # a little below those of the frequencies
    losses[rise] += 0.1 if rise else 0
    guessed = random.random((4, 400)) < 1 / 3
    train_epochs = replace(world.train_epochs, loss=losses.astype(np.float16), correct=guessed)
    dull = (0.05 * random.normal(size=world.train_logits.shape)).astype(np.float32)
    finding = found(replace(world, train_epochs=train_epochs, train_logits=dull))
    assert (finding.status, finding.minor) == ("flag", minor)


def fallen(seed: int, n: int = 400) -> Measured:
    """A run that learned, and whose last epoch is hardly better than a guess; its log-loss is still that of a guess, not worse."""
    random = np.random.default_rng(seed)
    logits, labels = truth(n, 3, random)
    world = measured(epochs(logits, 6, 0.1, random), labels, n=n, seed=seed)
    dull = (0.1 * world.train_logits + random.normal(size=world.train_logits.shape)).astype(np.float32)
    return replace(world, train_logits=dull)


def test_a_run_that_lost_what_it_had_learned_is_flagged_with_both_accuracies() -> None:
    for seed in range(20):
        finding = found(fallen(seed))
        assert finding.status == "flag"
        assert finding.summary.startswith("The run diverged after it had learned: accuracy is ")
        assert f"{100 * float(str(finding.evidence['train_accuracy_of_best_epoch'])):.1f} %" in finding.summary


def test_a_good_run_passes_and_so_do_memorised_labels_and_few_epochs(tmp_path: Path) -> None:
    data = splits(SIZES, 2)
    for name, rows, settings in (
        ("good", data, {"epochs": 8}),
        ("memorised", shuffled(data, 2), {"epochs": 20}),
        ("few", data, {"epochs": 2, **adam(0.0003)}),
        ("squared error", data, {"epochs": 8, "loss": {"name": "mse"}}),
    ):
        assert found(trained(tmp_path / name, rows, **settings)).status == "pass", name


def rare(seed: int, n: int = 2000) -> Measured:
    """One image in a hundred is of the second class; the logits are those of a loss that weighs both classes alike."""
    random = np.random.default_rng(seed)
    labels = (random.random(n) < 0.01).astype(np.int64)
    score = 2.5 * (2 * labels - 1) + 1.5 * random.normal(size=n)
    logits = np.stack([-score / 2, score / 2], axis=1).astype(np.float32)
    world = measured(logits[None], labels, n=n, seed=seed)
    return replace(world, train=replace(world.train, labels=labels), train_logits=logits, test_logits=logits[:n])


def test_a_class_weighted_model_of_a_rare_class_has_learned_though_its_log_loss_is_above_that_of_the_frequencies() -> None:
    for seed in range(10):
        finding = found(rare(seed))
        assert (finding.estimate or 0) < 0
        assert finding.status == "pass"


def test_without_enough_recorded_images_or_with_one_class_it_is_not_run() -> None:
    world = fallen(0)
    few = replace(world, train_index=world.train_index[:5], train_logits=world.train_logits[:5])
    assert found(few).status == "not_run"
    one = replace(world, train=replace(world.train, labels=0 * world.train.labels))
    assert found(one).status == "not_run"


def test_a_few_images_of_a_model_that_guesses_are_inconclusive() -> None:
    random = np.random.default_rng(0)
    logits, labels = truth(12, 3, random)
    world = measured(epochs(logits, 2, 0.1, random), labels, n=12)
    guesses = (0.3 * random.normal(size=world.train_logits.shape)).astype(np.float32)
    unknown = replace(world.train_epochs, correct=np.zeros_like(world.train_epochs.correct))
    assert found(replace(world, train_logits=guesses, train_epochs=unknown)).status == "inconclusive"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flagged", "settings"),
    [
        (True, {"epochs": 3, **adam(1e-8)}),
        (True, {"optimizer": {"name": "sgd", "learning_rate": 2.0}}),
        (True, {"epochs": 12, "regularisation": {"l2": 3.0}}),
        (False, {"epochs": 8}),
        (False, {"epochs": 2, **adam(0.0003)}),
        (False, {"epochs": 30, **adam(0.01)}),
    ],
    ids=["stuck", "diverged", "penalty", "good", "few epochs", "too long"],
)
def test_how_often_each_world_is_called_right(tmp_path: Path, settings: dict[str, Any], *, flagged: bool) -> None:
    """Measured: 20 of 20 in each, of which the first ten are seen here."""
    worlds = (trained(tmp_path / str(seed), splits(SIZES, seed), seed, **settings) for seed in range(10))
    assert [world.seed for world in worlds if (found(world).status == "flag") != flagged] == []


@pytest.mark.parametrize("heat", [0.3, 3.0], ids=["unsure", "too sure"])
def test_the_interval_covers_the_gain_on_all_training_images(heat: float) -> None:
    """Of 5,000 images 150 are recorded; a model that is too sure has a few large losses, which make its gain."""
    logits, labels = truth(5000, 3, np.random.default_rng(1))
    frame = measured(np.zeros((1, 0, 3), dtype=np.float32), np.zeros(0, dtype=np.int64), n=150)
    counts = np.bincount(labels, minlength=3) + 1
    gain = float((-np.log(counts / counts.sum())[labels] - log_losses(heat * logits, labels)).mean())
    runs, held, train = 300, 0, Arrays(np.zeros((5000, 1, 1, 1), dtype=np.uint8), labels, np.arange(5000))
    for seed in range(runs):
        rows = np.random.default_rng(seed).choice(5000, 150, replace=False)
        finding = found(replace(frame, train=train, train_index=rows, train_logits=(heat * logits[rows]).astype(np.float32)))
        held += (finding.ci_low or 0) <= gain <= (finding.ci_high or 0)
    assert fewest(runs) <= held <= most(runs)
