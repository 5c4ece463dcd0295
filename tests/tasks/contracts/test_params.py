"""params.yaml: what is refused, and in which words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from tasks.contracts.errors import ParamsError
from tasks.contracts.params import read_params
from tasks.contracts.params.download import DownloadParams
from tasks.contracts.params.pipeline import Params, check_params
from tasks.contracts.params.train import TrainParams
from tests.conftest import ROOT

ParamsWith = Callable[..., Path]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: adam ", "name: adm ", "train.optimizer.name: 'adm' is not a known name; expected one of sgd, adam, rmsprop, adamw; "
         "did you mean 'adam'?"),
        ("batch_size: 32 ", "batch_sise: 32 ", "train.batch_sise: unknown key; expected one of epochs, batch_size"),
        ("batch_size: 32 ", "batch_sise: 32 ", "did you mean 'batch_size'?"),
        ("batch_size: 32 ", "batch_sise: 32 ", "train.batch_size: missing"),
        ("epochs: 150 ", "epochs: many ", "train.epochs: found 'many' (str); it should be a valid integer"),
        ("epochs: 150 ", "epochs: 0 ", "train.epochs: found 0; it should be greater than or equal to 1"),
        ("epochs: 150 ", "epochs: 1.5 ", "train.epochs: found 1.5 (float); it should be a valid integer"),
        ("learning_rate: 0.01 ", "learning_rate: -1 ", "train.optimizer.learning_rate: found -1; it should be greater than 0"),
        ("learning_rate: 0.01 ", "learning_rate: .nan ", "train.optimizer.learning_rate: found nan"),
        ("learning_rate: 0.01 ", "learning_rate: '0.01' ", "train.optimizer.learning_rate: found '0.01' (str); it should be a"),
        ("hidden: [64] ", "hidden: [0] ", "train.model.mlp.hidden.0: found 0"),
        ("val_fraction: 0.4 ", "val_fraction: 1 ", "preprocess.val_fraction: found 1; it should be less than 1"),
        ("shuffle: true ", "shuffle: 'yes' ", "train.shuffle: found 'yes' (str); it should be a valid boolean"),
        ("dataset: digits ", "dataset: mnst ", "did you mean 'mnist'?"),
        ("path: data/source ", "path: '' ", "download.path: found '' (str); String should have at least 1"),
        ("path: data/source ", "path: . ", "download.path: found '.', where the stages write data/raw"),
        ("path: data/source ", "path: data/raw/x ", "download.path: found 'data/raw/x', where the stages write data/raw"),
        ("path: data/source ", "path: data ", "give your data a folder of their own"),
        ("seed: 0 ", "sead: 0 ", "sead: unknown key"),
        ("nesterov: false", "nesterov: true", "momentum: 0.9"),
    ],
)  # fmt: skip
def test_names_the_key_the_value_what_is_allowed_and_the_nearest_spelling(
    params_with: ParamsWith, old: str, new: str, message: str
) -> None:
    if new == "nesterov: true":
        root = params_with(("nesterov: false", "nesterov: true"), ("      momentum: 0.9 ", "      momentum: 0.0 "))
        message = "nesterov: true needs a momentum above 0"
    else:
        root = params_with((old, new))
    with pytest.raises(ParamsError) as refused:
        check_params(root / "params.yaml")
    assert message in str(refused.value)


def test_names_all_offences_at_once(params_with: ParamsWith) -> None:
    root = params_with(("epochs: 150 ", "epochs: 0 "), ("most_wrong: 24 ", "most_wrong: -1 "))
    with pytest.raises(ParamsError, match=r"(?s)train\.epochs.*report\.most_wrong|report\.most_wrong.*train\.epochs"):
        check_params(root / "params.yaml")


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "is not YAML"), ("- 1\n", "holds list"), ("", "holds NoneType"), ("\x00", "is not YAML")]
)
def test_rejects_a_file_that_is_not_a_mapping(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        check_params(tmp_path / "params.yaml")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="goodfit use digits"):
        check_params(tmp_path / "params.yaml")


def test_early_stopping_without_a_validation_split_is_refused_before_anything_runs(params_with: ParamsWith) -> None:
    root = params_with(("val_fraction: 0.4 ", "val_fraction: 0 "), ("enabled: false ", "enabled: true "))
    with pytest.raises(ParamsError, match=r"train\.early_stopping\.enabled.*preprocess\.val_fraction"):
        check_params(root / "params.yaml")


def test_a_stage_reads_only_its_own_section(params_with: ParamsWith) -> None:
    root = params_with(("epochs: 150 ", "epochs: none "))
    assert read_params(DownloadParams, root).download.dataset == "digits"
    with pytest.raises(ParamsError):
        read_params(TrainParams, root)


def test_params_are_frozen() -> None:
    params = check_params(ROOT / "recipes/digits.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        params.train.optimizer.learning_rate = 1.0  # type: ignore[misc]


def test_no_model_has_a_default() -> None:
    """`params.yaml` states every value: no default lives in two places."""

    def optional(model: type[BaseModel]) -> list[str]:
        found = [f"{model.__name__}.{name}" for name, field in model.model_fields.items() if not field.is_required()]
        nested = [kind for field in model.model_fields.values() for kind in (field.annotation, *get_args(field.annotation))]
        return found + [
            name for kind in nested if isinstance(kind, type) and issubclass(kind, BaseModel) for name in optional(kind)
        ]

    assert optional(Params) == []


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_complete_and_every_value_has_a_comment(recipe: Path) -> None:
    check_params(recipe)
    values = [
        line for line in recipe.read_text().splitlines() if line.strip() and not line.startswith("#") and not line.endswith(":")
    ]
    assert [line for line in values if " # " not in line] == []


def test_the_default_is_the_recipe_digits() -> None:
    assert (ROOT / "recipes/digits.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_the_textbook_recipe_is_the_textbooks() -> None:
    params = check_params(ROOT / "recipes/mnist-linear.yaml")
    train = params.train
    found: dict[str, Any] = {
        "dataset": params.download.dataset, "val": params.preprocess.val_fraction, "seed": params.seed, "model": train.model.name,
        "standardise": train.model.standardise, "loss": train.loss.name, "optimizer": train.optimizer.name,
        "rate": train.optimizer.learning_rate, "momentum": train.optimizer.sgd.momentum, "batch": train.batch_size,
        "epochs": train.epochs, "shuffle": train.shuffle, "schedule": train.schedule.name, "l1": train.regularisation.l1,
        "l2": train.regularisation.l2, "stopping": train.early_stopping.enabled,
    }  # fmt: skip
    assert found == {
        "dataset": "mnist", "val": 0, "seed": 0, "model": "linear", "standardise": False, "loss": "cross_entropy", "optimizer": "sgd",
        "rate": 0.01, "momentum": 0.0, "batch": 32, "epochs": 10, "shuffle": False, "schedule": "constant", "l1": 0.0, "l2": 0.0,
        "stopping": False,
    }  # fmt: skip
