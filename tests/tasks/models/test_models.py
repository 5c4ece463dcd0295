"""The models, over the folder: what goes in, what comes out, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tasks.contracts.trained import MODEL, TrainedModel, read_model, write_model
from tasks.core.components import Choice, Component
from tasks.core.errors import ArtifactError, DataError
from tasks.learning.inference import Preparation, predict, rebuild

MODELS = Component("tasks.models")


def choose(name: str, **options: Any) -> Choice:
    return MODELS.choose({"name": name, **options})


def build(choice: Choice, shape: tuple[int, int, int], classes: int) -> nn.Module:
    module: nn.Module = choice.module.build(choice.settings, shape, classes)
    return module


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 13, 6)])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_images_become_logits(name: str, shape: tuple[int, int, int], rows: int) -> None:
    assert build(choose(name), shape, classes=7)(torch.rand(rows, *shape)).shape == (rows, 7)


@pytest.mark.parametrize("name", MODELS.names())
def test_a_model_comes_back_from_its_files_with_the_same_logits(name: str, tmp_path: Path) -> None:
    model = build(choose(name), (1, 8, 8), classes=3).eval()
    trained = TrainedModel(model=choose(name), shape=(1, 8, 8), classes=["a", "b", "c"], mean=[0.1], deviation=[0.9])
    write_model(tmp_path, trained, model.state_dict())
    described, weights = read_model(tmp_path)
    assert described == trained
    images = torch.randint(0, 256, (2500, 1, 8, 8), dtype=torch.uint8)
    prepare = Preparation(described.mean, described.deviation)
    assert torch.equal(predict(rebuild(described, weights), images, prepare), predict(model, images, prepare))


def test_a_stored_model_names_its_format_and_the_chosen_model_alone(tmp_path: Path) -> None:
    trained = TrainedModel(model=choose("mlp"), shape=(1, 8, 8), classes=["a", "b"], mean=[0.0], deviation=[1.0])
    write_model(tmp_path, trained, {})
    stored = json.loads((tmp_path / MODEL).read_text())
    assert (stored["format"], stored["model"]) == (1, {"name": "mlp", "hidden": [64], "dropout": 0.0})


def test_a_stored_model_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    trained = TrainedModel(model=choose("mlp"), shape=(1, 8, 8), classes=["a", "b"], mean=[0.0], deviation=[1.0])
    write_model(tmp_path, trained, {"x": torch.zeros(1)})
    stored = json.loads((tmp_path / MODEL).read_text())
    (tmp_path / MODEL).write_text(json.dumps(stored | {"format": 2}))
    with pytest.raises(ArtifactError, match=r"models/model\.json"):
        read_model(tmp_path)


def test_weights_of_another_model_are_refused() -> None:
    trained = TrainedModel(model=choose("mlp"), shape=(1, 8, 8), classes=["a", "b"], mean=[0.0], deviation=[1.0])
    with pytest.raises(ArtifactError, match="does not fit"):
        rebuild(trained, {"0.weight": torch.zeros(2, 2)})


def test_the_linear_model_has_the_textbooks_first_weights() -> None:
    torch.manual_seed(0)
    reference = nn.Linear(784, 10)
    torch.manual_seed(0)
    model = build(choose("linear"), (1, 28, 28), classes=10)
    assert all(torch.equal(mine, its) for mine, its in zip(model.parameters(), reference.parameters(), strict=True))


def test_the_mlp_has_the_widths_that_are_stated() -> None:
    linears = [
        layer for layer in build(choose("mlp", hidden=[5, 4]), (1, 2, 3), classes=3).children() if isinstance(layer, nn.Linear)
    ]
    assert [(layer.in_features, layer.out_features) for layer in linears] == [(6, 5), (5, 4), (4, 3)]


def test_the_cnn_refuses_an_image_that_is_too_small_to_be_halved() -> None:
    with pytest.raises(DataError, match="3x9 pixels cannot be halved 2 times; expected at least 4x4"):
        build(choose("cnn"), (1, 3, 9), classes=2)
