"""The worlds: how each is made, and what the diagnosis must say of it."""

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.splits import SPLITS
from tasks.diagnostics.measured import Measured
from tasks.statistics.calibration import fit_temperature
from tests.tasks.diagnostics import worlds as numbers
from tests.truth import data as of
from tests.truth.data import Data
from tests.truth.known import Known, Made, train

Maker = Callable[[Path, int], Made]
Settings = dict[str, Any]


@dataclass(frozen=True)
class World:
    """A world with a known answer.

    `must` are the flags that have to be raised. `may` are those that are no false alarm: they follow from what is wrong, or it
    depends on the run whether they are right (`tests.truth.coverage.harms` measures some). Any other flag is a false alarm.
    `verdicts` are those that are right. `remedy` are words that a remedy must have, where the flag alone does not tell what is wrong.
    """

    name: str
    how: str
    make: Maker
    must: frozenset[str]
    may: frozenset[str]
    verdicts: frozenset[str]
    remedy: str = ""


STOPPED: Settings = {"epochs": 40, "early_stopping": {"enabled": True}}
LONG: Settings = {"epochs": 40}
LINEAR: Settings = {"model": {"name": "linear"}, "optimizer": {"name": "adam", "learning_rate": 0.01}}
SIZES = (1000, 1000, 1000)
EASY, HARD, HARDEST = 0.12, 0.25, 0.35  # noise
# Most models of pictures know their training images a little better, and are worse on some class.
COMMON = frozenset({"privacy_leak", "weak_slice"})
TOO_LONG = frozenset({"overtrained", "overconfident", "miscalibrated"})


def pictured(
    settings: Settings = STOPPED,
    change: Callable[[Data, int], Data] = lambda data, seed: data,
    sizes: tuple[int, int, int] = SIZES,
    noise: float = EASY,
) -> Maker:
    """Train on pictures, with a defect planted into them."""
    return lambda root, seed: train(root, change(of.pictures(sizes, seed, noise), seed), seed, settings)


def drawn(draw: of.Draw, sizes: tuple[int, int, int], classes: int, settings: Settings = STOPPED) -> Maker:
    """Train on rows of another population."""
    return lambda root, seed: train(root, of.drawn(draw, sizes, seed, classes), seed, settings)


def grouped(root: Path, seed: int) -> Made:
    return train(root, of.in_groups(SIZES, seed), seed, STOPPED)


def unpictured(measured: Measured, random: np.random.Generator) -> Measured:
    """With images that say nothing: those of `numbers.images` count up from train to test, which is a shift."""
    splits = {name: getattr(measured, name) for name in SPLITS}
    drawn = {
        name: replace(rows, images=random.integers(0, 256, size=(len(rows.labels), 1, 4, 4), dtype=np.uint8))
        for name, rows in splits.items()
    }
    return replace(measured, **drawn)


def sharpened(root: Path, seed: int) -> Made:
    """Numbers alone: five epochs state the true logits with a little noise, the last one three times the true logits."""
    random = np.random.default_rng([seed, 12])
    logits, labels = numbers.truth(2000, 3, random)
    epochs = numbers.epochs(logits, 6, 0.1, random)
    epochs[-1] = 3 * logits
    measured = numbers.measured(epochs, labels, seed=seed)
    measured = unpictured(measured, random)
    measured = replace(measured, train_logits=3 * measured.train_logits, test_logits=3 * measured.test_logits)
    fresh, fresh_labels = numbers.truth(of.FRESH_ROWS, 3, np.random.default_rng(of.FRESH_SEED))

    @cache
    def answered(epoch: int) -> of.Logits:
        noise = 0.1 * np.random.default_rng([of.FRESH_SEED, epoch]).normal(size=fresh.shape)
        return (3 * fresh if epoch == 5 else fresh + noise).astype(np.float32)

    return Made(measured, Known(fresh_labels, answered, lambda epoch: measured.train_logits), 0.0)


def luckiest(root: Path, seed: int) -> Made:
    """Numbers alone: 200 equally good epochs, of which 100 validation images choose one. Each is as sure as it may be."""
    fresh, fresh_labels = numbers.truth(of.FRESH_ROWS, 3, np.random.default_rng(of.FRESH_SEED))

    def unsure(logits: NDArray[np.floating], random: np.random.Generator) -> of.Logits:
        return (logits + 3 * random.normal(size=logits.shape)).astype(np.float32)

    calm = 1 / fit_temperature(unsure(fresh, np.random.default_rng(of.FRESH_SEED)), fresh_labels)
    random = np.random.default_rng([seed, 13])
    logits, labels = numbers.truth(100, 3, random)
    epochs = np.stack([calm * unsure(logits, random) for _ in range(200)])
    measured = unpictured(numbers.measured(epochs, labels, seed=seed), random)
    saved = int(measured.val_epochs.loss.mean(axis=1).argmin())
    trained, tested = (calm * unsure(truth, random) for truth in (measured.train_logits, measured.test_logits))
    measured = replace(
        measured, saved=saved, chosen_by="lowest val_loss", val_logits=epochs[saved], train_logits=trained, test_logits=tested
    )

    def answered(epoch: int) -> of.Logits:
        return calm * unsure(fresh, np.random.default_rng([of.FRESH_SEED, epoch]))

    return Made(measured, Known(fresh_labels, answered, lambda epoch: trained), 0.0)


def flip(share: float) -> Callable[[Data, int], Data]:
    return lambda data, seed: of.flipped(data, share, seed)


def leak(share: float) -> Callable[[Data, int], Data]:
    return lambda data, seed: of.leaking(data, share, seed)


def doubled_prior(data: Data, seed: int) -> Data:
    """Class 0 is twice as frequent in test as in train: 2 of 11 rows instead of 1 of 10."""
    return of.resampled(data, lambda labels: np.where(labels == 0, 1.0, 0.5), seed, 1000)


def world(
    name: str,
    how: str,
    make: Maker,
    must: str = "",
    *,
    may: Set[str] = frozenset(),
    verdicts: str | None = None,
    remedy: str = "",
) -> World:
    """Flags and verdicts are words with spaces between; without verdicts, what must be raised is the verdict."""
    right = must if verdicts is None else verdicts
    return World(name, how, make, frozenset(must.split()), frozenset(may), frozenset(right.split()), remedy)


WORLDS = [
    world(
        "clean and well specified",
        "logistic regression of data from such a model, 1,500 rows",
        drawn(of.logistic, (1500, 1500, 1500), 3, LINEAR | STOPPED),
        verdicts="good_fit",
    ),
    world(
        "clean, classes overlap",
        "the same with a third of the logits: no model is right on more than 63 % of the rows",
        drawn(partial(of.logistic, scale=4), (1500, 1500, 1500), 3, LINEAR | STOPPED),
        verdicts="good_fit",
    ),
    world("clean, stopped early", "pictures; early stopping", pictured(), may=COMMON, verdicts="good_fit"),
    *(
        world(
            f"leak of {share} %",
            f"{share} % of the test rows are training rows",
            pictured(change=leak(share / 100)),
            "leakage",
            may=COMMON,
            # Where it is too small to matter, another flag may come first.
            verdicts="leakage privacy_leak weak_slice" if share == 1 else None,
        )
        for share in (1, 5, 15)
    ),
    world(
        "leak of 5 %, hard to tell apart",
        "5 % of the test rows are training rows; pictures with noise of 0.25 instead of 0.12",
        pictured(change=leak(0.05), noise=HARD),
        "leakage",
        may=COMMON,
    ),
    world(
        "near duplicates",
        "10 % of the test rows are training rows with 2 grey levels more, and as much noise",
        pictured(change=lambda data, seed: of.leaking(data, 0.1, seed, of.retouched)),
        "leakage",
        may=COMMON,
    ),
    world("groups across splits", "eight pictures of each scene, divided at random", grouped, "leakage", may=COMMON),
    *(
        world(
            f"{share} % wrong labels, {name}",
            f"{share} % of all labels replaced by another class; {named}",
            pictured(settings, flip(share / 100), noise=0.15),
            "" if share == 1 else "label_noise",
            may=COMMON | (TOO_LONG if settings is LONG else frozenset()) | ({"label_noise"} if share == 1 else frozenset()),
            verdicts=(
                "label_noise"
                if share > 1
                else "overtrained overconfident miscalibrated"
                if settings is LONG
                else "good_fit inconclusive label_noise weak_slice privacy_leak"
            ),
        )
        for name, settings, named in (("stopped", STOPPED, "early stopping"), ("trained long", LONG, "40 epochs"))
        for share in (1, 5, 10)
    ),
    world(
        "10 % wrong labels, hard to tell apart",
        "10 % of all labels replaced by another class; pictures with noise of 0.35 instead of 0.15, early stopping",
        pictured(change=flip(0.1), noise=HARDEST),
        "label_noise",
        may=COMMON,
    ),
    world(
        "shuffled labels",
        "no label has to do with its picture; 60 epochs",
        pictured({"epochs": 60}, of.shuffled, noise=HARD),
        "memorised privacy_leak",
        may=TOO_LONG | COMMON | {"underfit"},
        verdicts="memorised",
    ),
    world(
        "trained far too long",
        "500 pictures that are hard to tell apart; 60 epochs",
        pictured({"epochs": 60}, sizes=(500, 1000, 1000), noise=HARD),
        "overtrained privacy_leak",
        may=TOO_LONG | COMMON,
        verdicts="overtrained",
    ),
    world(
        "trained far too long, hardest to tell apart",
        "500 pictures with noise of 0.35 instead of 0.25; 60 epochs",
        pictured({"epochs": 60}, sizes=(500, 1000, 1000), noise=HARDEST),
        "overtrained privacy_leak",
        may=TOO_LONG | COMMON,
        verdicts="overtrained",
    ),
    world(
        "overconfident, not worse",
        "numbers: the true logits, times 3 in the last epoch",
        sharpened,
        "overconfident",
        may=TOO_LONG - {"overtrained"},
        verdicts="overconfident miscalibrated",
    ),
    world(
        "the luckiest of 200 epochs",
        "numbers: 200 equally good epochs, of which 100 validation images choose one",
        luckiest,
        "selection_overfit",
    ),
    world(
        "squared error",
        "pictures; loss mse, early stopping",
        pictured(STOPPED | {"loss": {"name": "mse"}}),
        "miscalibrated",
        may=COMMON,
    ),
    *(
        world(
            f"XOR, linear model, {rows} rows",
            "the label says whether two halves differ; 40 epochs",
            drawn(of.xor, (rows, 1000, 1000), 2, LINEAR | {"epochs": 40}),
            "underfit",
            # A line through XOR knows next to nothing of it, which is said as a second flag where it is shown.
            may={"weak_slice", "overconfident", "miscalibrated", "did_not_learn"},
        )
        for rows in (1000, 2000)
    ),
    world(
        "three hidden units",
        "pictures; an mlp of width 3",
        pictured(
            {"epochs": 40, "model": {"name": "mlp", "hidden": [3]}, "optimizer": {"name": "adam", "learning_rate": 0.01}},
            noise=0.2,
        ),
        "underfit",
        may=COMMON | {"overconfident", "miscalibrated"},
    ),
    world(
        "strong l2",
        "pictures; regularisation.l2 of 0.3, 20 epochs",
        pictured({"epochs": 20, "regularisation": {"l2": 0.3}}, noise=0.2),
        "underfit",
        may=COMMON | {"miscalibrated"},
    ),
    world(
        "stopped far too early",
        "pictures; 8 epochs at a tenth of the learning rate",
        pictured({"epochs": 8, "optimizer": {"name": "adam", "learning_rate": 0.0003}}),
        "undertrained weak_slice",
        may=COMMON | {"underfit", "miscalibrated"},
        verdicts="undertrained",
    ),
    world(
        "learning rate ten times too high",
        "pictures; 0.03 instead of 0.003, 20 epochs",
        pictured({"epochs": 20, "optimizer": {"name": "adam", "learning_rate": 0.03}}, noise=0.2),
        may=COMMON | TOO_LONG | {"did_not_learn"},
        verdicts="overtrained overconfident did_not_learn",
        remedy="lower train.optimizer.learning_rate",
    ),
    world(
        "diverged",
        "pictures; an mlp of three layers at a hundred times the learning rate, 5 epochs",
        pictured(
            {
                "epochs": 5,  # training stops with an error where all units of a layer have died, as they do in some runs later on
                "model": {"name": "mlp", "hidden": [64, 64, 64]},
                "optimizer": {"name": "adam", "learning_rate": 0.3},
            }
        ),
        "did_not_learn",
        may=COMMON | TOO_LONG | {"underfit"},
        remedy="lower train.optimizer.learning_rate",
    ),
    world(
        "noise in test only",
        "25 grey levels of noise on the test pictures",
        pictured(change=lambda data, seed: of.shifted(data, of.noisier)),
        "shift",
        may=COMMON | {"selection_overfit"},
    ),
    world(
        "contrast in test only",
        "the test pictures have two thirds of the contrast",
        pictured(change=lambda data, seed: of.shifted(data, of.paler)),
        "shift",
        may=COMMON | {"selection_overfit"},
    ),
    world(
        "doubled class in test",
        "class 0 is 18 % of test and 10 % of train",
        pictured(change=doubled_prior, sizes=(1000, 1000, 2000)),
        "shift",
        may=COMMON,
    ),
    world(
        "a rare class",
        "6 test rows of class 9, where the others have about 100",
        pictured(change=lambda data, seed: of.with_rare_class(data, 6)),
        "too_few_examples",
        may=COMMON,
        verdicts="too_few_examples privacy_leak weak_slice",
    ),
    world(
        "99 to 1",
        "two classes, one with 1 % of the rows",
        drawn(of.imbalanced, SIZES, 2),
        "too_few_examples",
        may=COMMON,
        verdicts="too_few_examples privacy_leak weak_slice",
    ),
    world(
        "rows in class order",
        "pictures sorted by class and not shuffled; 20 epochs",
        pictured(
            {"epochs": 20, "shuffle": False, "optimizer": {"name": "sgd", "learning_rate": 0.1}},
            lambda data, seed: of.in_class_order(data),
            noise=0.2,
        ),
        "batch_order",
        may=COMMON | TOO_LONG | {"did_not_learn", "undertrained", "underfit"},
        verdicts="batch_order did_not_learn",
    ),
    world(
        "too small to tell",
        "well specified, but only 40 validation and 40 test rows",
        drawn(of.logistic, (1500, 40, 40), 3, LINEAR | {"epochs": 20}),
        may={"too_few_examples"},
        verdicts="inconclusive too_few_examples",
    ),
]
