"""Recipes: what differs from the default, and the params.yaml that each gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stages import params_of
from flows.parameters.recipes import describe_recipe, recipe_names, use_recipe
from flows.parameters.writing import merged
from tasks.core.errors import GoodfitError, ParamsError, UnknownNameError
from tasks.core.settings import load_yaml
from tests.conftest import ROOT, Project

RECIPES = recipe_names(ROOT)


def test_the_default_is_the_recipe_digits() -> None:
    assert (ROOT / "recipes/digits.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_gives_parameters_with_the_comments_of_the_default(recipe: str, fresh: Project) -> None:
    """An option that the default leaves to its component has no comment there, and stands without one."""
    use_recipe(recipe, fresh.root, force=True)
    sections, stated = load_yaml(ROOT / "recipes/digits.yaml"), load_yaml(ROOT / f"recipes/{recipe}.yaml")
    left_out = {
        key for name, section in stated.items() if isinstance(section, dict) for key in section if key not in sections[name]
    }
    written = (fresh.root / "params.yaml").read_text().splitlines()
    lines = [line for line in written if line.strip().partition(":")[0] not in left_out]
    assert len(written) == len(lines) + len(left_out)
    default = (ROOT / "recipes/digits.yaml").read_text().splitlines()
    assert [line.partition(" # ")[2] for line in lines] == [line.partition(" # ")[2] for line in default]
    values = [line for line in lines if line.strip() and not line.startswith("#") and not line.endswith(":")]
    assert [line for line in values if " # " not in line] == []


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "digits"])
def test_every_recipe_states_only_what_differs_from_the_default(recipe: str) -> None:
    default, stated = load_yaml(ROOT / "recipes/digits.yaml"), load_yaml(ROOT / f"recipes/{recipe}.yaml")

    def same(below: Any, above: Any, key: str = "") -> list[str]:
        if isinstance(above, dict) and isinstance(below, dict) and "name" not in above:
            return [found for name in above for found in same(below.get(name), above[name], f"{key}.{name}")]
        return [key] if below == above else []

    assert same(default, stated) == []
    assert describe_recipe(recipe, ROOT).endswith(".")


def test_a_component_replaces_the_default_as_a_whole() -> None:
    base = {"train": {"epochs": 3, "optimizer": {"name": "adam", "beta1": 0.8}, "stopping": {"enabled": False, "patience": 5}}}
    other = {"train": {"optimizer": {"name": "sgd"}, "stopping": {"enabled": True}}, "new": 1}
    assert merged(base, other) == {
        "train": {"epochs": 3, "optimizer": {"name": "sgd"}, "stopping": {"enabled": True, "patience": 5}},
        "new": 1,
    }


def test_a_recipe_that_is_not_valid_is_named_and_leaves_params_yaml_alone(fresh: Project) -> None:
    before = fresh.text("params.yaml")
    (fresh.root / "recipes/wrong.yaml").write_text("# Wrong.\ntrain: {epochs: 0}\n")
    with pytest.raises(ParamsError, match=r"(?s)^recipes/wrong\.yaml is not valid:.*train\.epochs: found 0"):
        use_recipe("wrong", fresh.root)
    assert fresh.text("params.yaml") == before


def test_an_unknown_recipe_gets_the_nearest_name(fresh: Project) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'mnist-cn'; expected one of .* did you mean 'mnist-cnn'\?"):
        use_recipe("mnist-cn", fresh.root)


def test_changes_that_are_not_committed_are_kept(fresh: Project) -> None:
    fresh.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    before = fresh.text("params.yaml")
    with pytest.raises(GoodfitError, match="overwrite them with --force"):
        use_recipe("mnist-mlp", fresh.root)
    assert fresh.text("params.yaml") == before
    use_recipe("mnist-mlp", fresh.root, force=True)
    use_recipe("mnist-cnn", fresh.root)  # what a recipe gave is not lost
    assert load_yaml(fresh.root / "params.yaml")["train"]["model"]["name"] == "cnn"


def test_the_textbook_recipe_is_the_textbooks(fresh: Project, params_with: Callable[..., Path]) -> None:
    use_recipe("mnist-linear", fresh.root, force=True)
    preprocess, params = params_of("preprocess", fresh.root), params_of("train", fresh.root)
    train = params.train
    assert (preprocess.download.dataset.name, preprocess.preprocess.val_fraction, params.seed) == ("mnist", 0, 0)
    assert (train.epochs, train.batch_size, train.shuffle, train.standardise) == (10, 32, False, False)
    assert [choice.name for choice in (train.model, train.loss, train.optimizer, train.schedule)] == [
        "linear", "cross_entropy", "sgd", "constant",
    ]  # fmt: skip
    assert train.optimizer.resolved() == {"name": "sgd", "learning_rate": 0.01, "momentum": 0.0, "nesterov": False}
    assert (train.regularisation.l1, train.regularisation.l2, train.early_stopping.enabled) == (0.0, 0.0, False)
