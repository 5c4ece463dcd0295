"""Names of other libraries: an error says what the thing is called here."""

import re
from typing import Any

import pytest
from pydantic_core import PydanticCustomError

from tasks.core.components import Component
from tasks.core.errors import ParamsError
from tasks.core.hints import COMPONENTS, OPTIONS
from tasks.core.settings import keys_of, validate
from tasks.train import Train

FOLDERS = {
    "model": "tasks.models",
    "loss": "tasks.learning.losses",
    "optimizer": "tasks.learning.optimizers",
    "schedule": "tasks.learning.schedules",
}


def refused(kind: str, stated: dict[str, Any]) -> str:
    with pytest.raises(PydanticCustomError) as error:
        Component(FOLDERS[kind]).choose(stated)
    return "\n".join((error.value.context or {})["lines"])


@pytest.mark.parametrize(
    ("kind", "theirs", "ours"),
    [
        ("loss", "CrossEntropyLoss", "cross_entropy"),
        ("loss", "crossentropy", "cross_entropy"),
        ("loss", "MSELoss", "mse"),
        ("loss", "BCEWithLogitsLoss", "bce"),
        ("loss", "sigmoid_focal_loss", "focal"),
        ("loss", "AsymmetricLossMultiLabel", "asymmetric"),
        ("loss", "nll", "cross_entropy"),
        ("loss", "NLLLoss", "cross_entropy"),
        ("loss", "nll_loss", "cross_entropy"),
        ("loss", "LabelSmoothingCrossEntropy", "cross_entropy"),
        ("optimizer", "AdamW", "adamw"),
        ("optimizer", "SGD", "sgd"),
        ("optimizer", "RMSprop", "rmsprop"),
        ("optimizer", "NAdam", "nadam"),
        ("schedule", "StepLR", "step"),
        ("schedule", "MultiStepLR", "multistep"),
        ("schedule", "ExponentialLR", "exponential"),
        ("schedule", "PolynomialLR", "polynomial"),
        ("schedule", "CosineAnnealingLR", "cosine"),
        ("schedule", "OneCycleLR", "onecycle"),
        ("schedule", "ReduceLROnPlateau", "plateau"),
        ("schedule", "ConstantLR", "constant"),
        ("model", "MLP", "mlp"),
    ],
)
def test_a_component_is_found_by_its_name_in_torch(kind: str, theirs: str, ours: str) -> None:
    assert refused(kind, {"name": theirs}).endswith(f"did you mean '{ours}'?")


@pytest.mark.parametrize(
    ("kind", "stated", "message"),
    [
        (
            "optimizer",
            {"name": "adam", "lr": 0.1},
            ".lr: unknown option of adam; it is learning_rate here (adam has learning_rate",
        ),
        ("optimizer", {"name": "adam", "betas": [0.9, 0.99]}, ".betas: unknown option of adam; it is beta1 and beta2 here"),
        ("optimizer", {"name": "adam", "eps": 1e-6}, ".eps: unknown option of adam; it is epsilon here"),
        ("optimizer", {"name": "adam", "nesterov": True}, ".nesterov: is an option of muon, sgd, not of adam; drop it"),
        *(
            (
                "optimizer",
                {"name": name, "weight_decay": 0.1},
                f".weight_decay: unknown option of {name}; train.regularisation.l2 adds it to the gradient",
            )
            for name in ("sgd", "adam", "rmsprop")
        ),
        ("optimizer", {"name": "muon", "ns_steps": 5}, ".ns_steps: unknown option of muon; it is newton_schulz_steps here"),
        (
            "loss",
            {"name": "cross_entropy", "weight": [1]},
            ".weight: unknown option of cross_entropy; it is class_weights here",
        ),
        ("loss", {"name": "mse", "reduction": "sum"}, ".reduction: unknown option of mse; a loss is the mean over the batch"),
        ("schedule", {"name": "plateau", "gamma": 0.1}, ".gamma: unknown option of plateau; it is factor here"),
        ("schedule", {"name": "step", "factor": 0.1}, ".factor: unknown option of step; it is gamma here"),
        (
            "schedule",
            {"name": "cosine", "T_max": 10},
            ".T_max: unknown option of cosine; the length of the run is train.epochs",
        ),
        ("schedule", {"name": "cosine", "eta_min": 0}, ".eta_min: unknown option of cosine; it is final_fraction here"),
        ("schedule", {"name": "onecycle", "max_lr": 1}, "the highest learning rate is train.optimizer.learning_rate"),
        ("schedule", {"name": "wsd", "warmup_epochs": 1}, "train.warmup.epochs is the warm-up before any schedule"),
        ("schedule", {"name": "constant", "gamma": 1}, ".gamma: is an option of exponential, multistep, step, not of constant"),
    ],
)
def test_an_option_is_found_by_its_name_elsewhere(kind: str, stated: dict[str, Any], message: str) -> None:
    assert message in refused(kind, stated)


@pytest.mark.parametrize(("key", "message"), [("lr", "train.optimizer.learning_rate"), ("max_epochs", "train.epochs")])
def test_a_key_of_a_section_is_found_too(key: str, message: str) -> None:
    with pytest.raises(ParamsError, match=f"{key}: unknown key; it is {re.escape(message)} here; expected one of epochs"):
        validate(Train, {key: 1})


def test_the_table_names_only_options_that_some_component_has() -> None:
    known = {
        key
        for package in FOLDERS.values()
        for name in Component(package).names()
        for key in keys_of(Component(package).settings(name))
    }
    named = {option for ours in OPTIONS.values() for text in ours for option in text.split(" and ")}
    assert named <= known


def test_the_table_names_only_components_that_there_are() -> None:
    assert set(COMPONENTS.values()) <= {name for package in FOLDERS.values() for name in Component(package).names()}
