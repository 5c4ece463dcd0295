"""Which remedies are tried, what is trained for them, and what is concluded: with real, small trainings."""

import operator
import shlex
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.parameters.overrides import overridden_params
from flows.pilot import best
from tasks.contracts.splits import Split, read_dataset, read_split
from tasks.core.errors import ParamsError, TrainingError
from tasks.core.settings import validate
from tasks.diagnostics.limits import DEFAULT
from tasks.pilot.remedies import Trial, changed, remedies
from tasks.pilot.results import Gain, conclude
from tasks.pilot.trainings import FRACTIONS, RECIPE, Kept, planned, run
from tasks.statistics.comparisons import Contrast
from tasks.train import Params
from tests.conftest import ROOT
from tests.tasks.diagnostics.trained import DEFAULTS, splits, write

SEEDS = range(3)
OVERFITTING: dict[str, Any] = {"epochs": 30, "model": {"name": "mlp", "hidden": [64]}}


def params(**settings: Any) -> Params:
    return validate(Params, {"seed": 0, "threads": 1, "train": {**DEFAULTS, **settings}})


def tried(**settings: Any) -> dict[str, Any]:
    """The changes of each remedy; why not, where it is not tried."""
    return {remedy.name: remedy.unused or remedy.changes for remedy in remedies(params(**settings).train)}


def test_remedies_follow_the_recipe() -> None:
    assert tried() == {
        "weight decay": {"train.regularisation.l2": 0.001},
        "dropout": {"train.model.dropout": 0.5},
        "augmentation": {"train.augmentation": {"name": "geometric"}},
        "early stopping": {"train.early_stopping.enabled": True},
    }
    others = tried(
        model={"name": "linear"},
        optimizer={"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.2},
        augmentation={"name": "randaugment"},
        early_stopping={"enabled": True},
    )
    assert others == {
        "weight decay": {"train.optimizer.weight_decay": 2.0},
        "dropout": "the model linear has no option dropout",
        "augmentation": "the recipe has randaugment already",
        "early stopping": "the recipe has it already",
    }


@pytest.mark.parametrize(
    ("optimizer", "decay"),
    [
        ({"name": "radam"}, 0.001),
        ({"name": "radam", "decoupled_weight_decay": True}, 0.1),
        ({"name": "lamb"}, 0.001),
        ({"name": "muon"}, 1.0),
    ],
)
def test_weight_decay_is_as_strong_as_its_form_allows(optimizer: dict[str, Any], decay: float) -> None:
    assert tried(optimizer=optimizer)["weight decay"] == {"train.optimizer.weight_decay": decay}


def test_early_stopping_is_not_tried_where_it_would_watch_another_loss() -> None:
    for loss in ({"name": "focal"}, {"name": "cross_entropy", "label_smoothing": 0.1}):
        assert "it would watch the loss of the recipe" in tried(loss=loss)["early stopping"]


def test_a_remedy_that_fails_is_told_and_the_others_are_compared(place: Path) -> None:
    recipe = params(epochs=3)
    breaking = Trial("breaking", {"train.optimizer.learning_rate": 1e30})
    found, failed = run(planned(recipe, [breaking]), SEEDS[:1], _splits(place), lambda: None)
    assert "it failed with seed 0: " in failed["breaking"]
    assert set(found) == {RECIPE, *(f"{part:g}" for part in FRACTIONS)}


def test_a_recipe_that_fails_is_told_with_its_seed(place: Path) -> None:
    recipe = params(epochs=3, optimizer={"name": "adam", "learning_rate": 1e30})
    with pytest.raises(TrainingError, match="the recipe with seed 0: "):
        run(planned(recipe, []), SEEDS, _splits(place), lambda: None)


def test_what_shows_nothing_is_said_so() -> None:
    nothing = Gain(Trial("dropout"), Contrast(0.0, 1.0, -1.0, 1.0, 0.5), Contrast(0.0, 1.0, -1.0, 1.0, 0.5))
    assert "No remedy is shown to lower the log-loss" in best([nothing])


@pytest.mark.parametrize("number", range(4))
def test_each_change_is_one_that_params_yaml_could_state(number: int) -> None:
    remedy = remedies(params().train)[number]
    assert changed(params(), remedy.changes) != params()
    flag, override = shlex.split(remedy.as_options())
    assert flag == "-S"
    stated = overridden_params(ROOT, [override])
    for key, value in remedy.changes.items():
        assert reduce(operator.getitem, key.split("."), stated) == value


def test_a_change_that_is_not_valid_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"train\.epochs"):
        changed(params(), {"train.epochs": 0})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few and noisy training images, so that there is something to remedy."""
    root = tmp_path_factory.mktemp("pilot")
    write(root, splits((160, 400, 40), seed=0, noise=0.4), classes=10)
    return root


@pytest.fixture(scope="module")
def kept(place: Path) -> dict[str, Kept]:
    recipe = params(**OVERFITTING)
    answers, failed = run(planned(recipe, remedies(recipe.train)), SEEDS, _splits(place), lambda: None)
    assert failed == {}
    return answers


def _splits(place: Path) -> Any:
    return read_dataset(place), read_split(place, "train"), read_split(place, "val")


def test_early_stopping_is_shown_to_help_where_the_recipe_overfits(kept: dict[str, Kept]) -> None:
    found = conclude(kept, remedies(params(**OVERFITTING).train), SEEDS, DEFAULT)
    gains = {gain.trial.name: gain for gain in found.gains}
    stopping = gains["early stopping"].loss
    assert stopping is not None
    assert stopping.low > 0
    assert (found.images, found.seeds) == (400, [0, 1, 2])
    assert [finding.code for finding in found.findings] == ["seed_variance", "data_limited"]
    assert found.findings[1].status == "flag"  # 160 images are far too few
    assert found.findings[1].remedy is not None
    assert found.findings[1].remedy.basis == "pilot"


def test_all_trainings_answer_for_every_seed_and_image(kept: dict[str, Kept]) -> None:
    names = [RECIPE, "weight decay", "dropout", "augmentation", "early stopping", *(f"{part:g}" for part in FRACTIONS)]
    assert list(kept) == names
    assert {answers.loss.shape for answers in kept.values()} == {(3, 400)}
    assert len(np.unique(kept[RECIPE].loss.mean(axis=1))) == 3  # the seeds differ


def test_the_same_seeds_give_the_same_numbers(place: Path, kept: dict[str, Kept]) -> None:
    again, _ = run(planned(params(**OVERFITTING), [])[:1], SEEDS[:1], _splits(place), lambda: None)
    assert np.array_equal(again[RECIPE].loss[0], kept[RECIPE].loss[0])


def test_a_part_of_the_data_is_part_of_a_larger_one_and_has_every_class(place: Path) -> None:
    from tasks.pilot.trainings import _part

    train = read_split(place, "train")
    small, large = (set(_part(train, fraction, seed=1).rows.tolist()) for fraction in FRACTIONS[:2])
    assert small < large
    assert set(_part(train, FRACTIONS[0], seed=1).labels.tolist()) == set(range(10))


def test_too_few_images_are_named(place: Path) -> None:
    dataset, train, val = _splits(place)
    few = Split(val.images[:39], val.labels[:39], val.rows[:39])
    with pytest.raises(ParamsError, match="the validation set has 39 images; a pilot needs 40 or more"):
        run(planned(params(), []), SEEDS, (dataset, train, few), lambda: None)
    tiny = Split(train.images[:79], train.labels[:79], train.rows[:79])
    with pytest.raises(ParamsError, match="79 training images of 10 classes"):
        run(planned(params(), []), SEEDS, (dataset, tiny, val), lambda: None)


def test_a_pass_says_that_more_data_would_not_help() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.01, (3, 200))
    answers = Kept(0.5 + noise, noise > 0, 0.5 + noise)
    kept = dict.fromkeys((*(f"{fraction:g}" for fraction in FRACTIONS), RECIPE), answers)
    found = conclude(kept, [], SEEDS, replace(DEFAULT, harm_nats=0.05))
    assert found.findings[1].status == "pass"
    assert found.findings[1].remedy is None
