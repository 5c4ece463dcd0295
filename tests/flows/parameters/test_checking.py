"""params.yaml as a whole: what is refused, in which words, and what one stage is handed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.stages import params_of
from flows.parameters.checking import check_params, check_sources, picked
from tasks.core.errors import DataError, ParamsError
from tasks.core.settings import load_yaml
from tests.conftest import ROOT, Project

ParamsWith = Callable[..., Path]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: adam,", "name: adm,", "train.optimizer.name: unknown name 'adm'; expected one of adafactor, adagrad, adam"),
        ("name: adam,", "name: adm,", "did you mean 'adam'?"),
        ("{name: adam, learning_rate: 0.01}", "adam", "train.optimizer: found 'adam'; expected a mapping such as {name: adam}"),
        ("{name: adam, learning_rate: 0.01}", "{learning_rate: 0.01}", "train.optimizer.name: missing; expected one of adaf"),
        ("{name: adam, ", "{name: sgd, beta1: 0.9, ", "radam, schedulefree_adamw, not of sgd; drop it (sgd has"),
        ("{name: adam, ", "{name: adam, beta: 0.9, ", "train.optimizer.beta: unknown option of adam; expected one of"),
        ("{name: adam, ", "{name: adam, momentum: 0.9, ", "train.optimizer.momentum: is an option of muon, rmsprop, sgd, not of adam"),
        ("{name: constant}", "{name: step, every: 5}", "train.schedule.every: unknown option of step; expected one of step_size"),
        ("    epochs: 0.0  ", "    epochs: 150  ", "train: warmup.epochs is 150; expected less than the epochs of the run, 150"),
        ("{name: constant}", "{name: constant, warm: 1}", "train.schedule.warm: unknown option of constant; constant has no options"),
        ("{name: adam, ", "{name: sgd, nesterov: true, ", "train.optimizer.nesterov: true needs a momentum above 0"),
        ("batch_size: 32 ", "batch_sise: 32 ", "train.batch_sise: unknown key; expected one of epochs, batch_size"),
        ("batch_size: 32 ", "batch_sise: 32 ", "did you mean 'batch_size'?"),
        ("batch_size: 32 ", "batch_sise: 32 ", "train.batch_size: missing"),
        ("model: models/model.safetensors ", "model: models/compressed/prune/model.onnx ", "and compress.methods is empty; add the"),
        ("model: models/model.safetensors ", "model: model.onnx ", "evaluate.model: found 'model.onnx'"),
        ("methods: [] ", "methods: prune ", "compress.methods: expected a list such as [prune], found 'prune'"),
        ("student: {name: linear} ", "student: {name: liner} ", "compress.student.name: unknown name 'liner'; expected one of cnn"),
        ("epochs: 150 ", "epochs: many ", "train.epochs: found 'many' (str); it should be a valid integer"),
        ("epochs: 150 ", "epochs: 0 ", "train.epochs: found 0; it should be greater than or equal to 1"),
        ("epochs: 150 ", "epochs: 1.5 ", "train.epochs: found 1.5 (float); it should be a valid integer"),
        ("learning_rate: 0.01", "learning_rate: -1", "train.optimizer.learning_rate: found -1; it should be greater than 0"),
        ("learning_rate: 0.01", "learning_rate: .nan", "train.optimizer.learning_rate: found nan"),
        ("learning_rate: 0.01", "learning_rate: '0.01'", "train.optimizer.learning_rate: found '0.01' (str); it should be a"),
        ("hidden: [64]", "hidden: [0]", "train.model.hidden.0: found 0"),
        ("val_fraction: 0.4 ", "val_fraction: 1 ", "preprocess.val_fraction: found 1; it should be less than 1"),
        ("shuffle: true ", "shuffle: 'yes' ", "train.shuffle: found 'yes' (str); it should be a valid boolean"),
        ("{name: digits}", "{name: mnst}", "did you mean 'mnist'?"),
        ("{name: digits}", "digits", "download.dataset: found 'digits'; expected a mapping such as {name: digits}"),
        ("path: data/source/README.md ", "path: '' ", "download.path: found '' (str); String should have at least 1"),
        ("path: data/source/README.md ", "path: . ", "download.path: found '.', where the stages write data/raw"),
        ("path: data/source/README.md ", "path: data/raw/x ", "download.path: found 'data/raw/x', where the stages write data/raw"),
        ("path: data/source/README.md ", "path: data ", "give your data a folder of their own"),
        ("seed: 0 ", "sead: 0 ", "sead: unknown key; expected one of"),
        ("seed: 0 ", "sead: 0 ", "did you mean 'seed'?"),
    ],
)  # fmt: skip
def test_names_the_key_the_value_what_is_allowed_and_the_nearest_spelling(
    params_with: ParamsWith, old: str, new: str, message: str
) -> None:
    with pytest.raises(ParamsError) as refused:
        check_params(params_with((old, new)))
    assert message in str(refused.value)


def test_names_all_offences_at_once_and_each_once(params_with: ParamsWith) -> None:
    root = params_with(("epochs: 150 ", "epochs: 0 "), ("most_wrong: 24 ", "most_wrong: -1 "), ("{name: digits}", "{name: x}"))
    with pytest.raises(ParamsError) as refused:
        check_params(root)
    keys = [line.strip().split(":")[0] for line in str(refused.value).splitlines()[1:]]
    assert sorted(keys) == ["download.dataset.name", "report.most_wrong", "train.epochs"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("a: 2021-13-45", "is not valid YAML: month must be in"),
        ("[" * 100_000, "is not valid YAML at line 1, column 101: lists and mappings lie more than 100 deep"),
        ("- " * 100_000, "is not valid YAML at line 1, column 201: lists and mappings lie more than 100 deep"),
        ("? " * 100_000, "is not valid YAML at line 1, column 201: lists and mappings lie more than 100 deep"),
        ("[" * 99 + "]" * 99, "holds list"),
        ("- 1\n", "holds list"),
        ("", "is empty; expected a mapping"),
        ("a: 1\na: 2\n", "at line 2, column 1: found duplicate key"),
        ("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n", "holds Git.s conflict markers"),
        ("\x00", "is not valid YAML"),
    ],
)
def test_rejects_a_file_that_is_not_a_mapping(params_with: ParamsWith, text: str, message: str) -> None:
    root = params_with()
    (root / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        check_params(root)


@pytest.mark.parametrize("file", ["params.yaml", "dvc.yaml"])
def test_a_missing_file_is_named(params_with: ParamsWith, file: str) -> None:
    root = params_with()
    (root / file).unlink()
    with pytest.raises(ParamsError, match=f"{file} is missing"):
        check_params(root)


def test_early_stopping_without_a_validation_split_is_refused_before_anything_runs(params_with: ParamsWith) -> None:
    root = params_with(("val_fraction: 0.4 ", "val_fraction: 0 "), ("enabled: false ", "enabled: true "))
    with pytest.raises(ParamsError, match=r"train\.early_stopping\.enabled.*preprocess\.val_fraction"):
        check_params(root)


def test_plateau_without_a_validation_split_is_refused_before_anything_runs(params_with: ParamsWith) -> None:
    root = params_with(("val_fraction: 0.4 ", "val_fraction: 0 "), ("{name: constant}", "{name: plateau}"))
    with pytest.raises(
        ParamsError, match=r"train\.schedule\.name: plateau needs a validation split; set preprocess\.val_fraction"
    ):
        check_params(root)


def test_a_stage_is_handed_only_what_it_declares(params_with: ParamsWith) -> None:
    root = params_with(("epochs: 150 ", "epochs: none "))
    assert params_of("download", root).download.dataset.name == "digits"
    with pytest.raises(ParamsError):
        params_of("train", root)


def test_params_are_frozen() -> None:
    params = params_of("train", ROOT)
    with pytest.raises(ValidationError, match="frozen"):
        params.train.epochs = 1
    with pytest.raises(ValidationError, match="frozen"):
        params.train.optimizer.settings.learning_rate = 1.0


def test_sections_that_are_not_stated_have_their_defaults(params_with: ParamsWith) -> None:
    root = params_with()
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text[: text.index("diagnose:")])
    check_params(root)
    assert params_of("diagnose", root).diagnose == params_of("diagnose", ROOT).diagnose


def test_picks_dotted_keys_and_leaves_out_what_is_not_there() -> None:
    document = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    assert picked(document, ["a.c.d", "a.b", "e", "f", "a.b.x"]) == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}


def test_a_path_of_the_parameters_that_does_not_exist_is_named(fresh: Project) -> None:
    check_sources(fresh.root, load_yaml(fresh.root / "params.yaml"))
    (fresh.root / "data/source/README.md").unlink()
    with pytest.raises(
        DataError,
        match=r"download depends on data/source/README\.md \(\$\{download\.path\} in dvc\.yaml\), which does not exist",
    ):
        check_sources(fresh.root, load_yaml(fresh.root / "params.yaml"))


@pytest.mark.parametrize(
    ("methods", "model", "complaint"),
    [
        ("[prune]", "prune", ""),
        ("[{name: prune, amount: 0.2}]", "original", ""),
        (
            "[prune]",
            "quantize",
            "evaluate.model: found 'models/compressed/quantize/model.onnx', and compress.methods makes original, prune",
        ),
    ],
)
def test_what_is_scored_has_to_be_made(params_with: ParamsWith, methods: str, model: str, complaint: str) -> None:
    root = params_with(
        ("methods: [] ", f"methods: {methods} "),
        ("model: models/model.safetensors ", f"model: models/compressed/{model}/model.onnx "),
    )
    if not complaint:
        check_params(root)
        return
    with pytest.raises(ParamsError) as caught:
        check_params(root)
    assert complaint in str(caught.value)
