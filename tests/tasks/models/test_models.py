"""The models, over the registry: what goes in, what comes out, what is refused."""

from typing import get_args

import pytest
import torch
from torch import nn

from tasks import models
from tasks.contracts.errors import ArtifactError, DataError
from tasks.contracts.params.pipeline import check_params
from tasks.contracts.params.train import ModelName
from tasks.contracts.trained import TrainedModel, read_model, write_model
from tasks.models.inference import Preparation, predict
from tests.conftest import ROOT

MODEL = check_params(ROOT / "recipes/digits.yaml").train.model


def test_every_name_has_its_entry() -> None:
    assert set(get_args(ModelName)) == set(models.REGISTRY)


@pytest.mark.parametrize("name", get_args(ModelName))
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 13, 6)])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_images_become_logits(name: ModelName, shape: tuple[int, int, int], rows: int) -> None:
    model = models.build(MODEL.model_copy(update={"name": name}), shape, classes=7)
    assert model(torch.rand(rows, *shape)).shape == (rows, 7)


@pytest.mark.parametrize("name", get_args(ModelName))
def test_a_model_comes_back_from_its_files_with_the_same_logits(name: ModelName, tmp_path: object) -> None:
    root = tmp_path
    settings = MODEL.model_copy(update={"name": name})
    model = models.build(settings, (1, 8, 8), classes=3).eval()
    trained = TrainedModel(model=settings, shape=(1, 8, 8), classes=["a", "b", "c"], mean=[0.1], deviation=[0.9])
    write_model(root, trained, model.state_dict())  # type: ignore[arg-type]
    described, weights = read_model(root)  # type: ignore[arg-type]
    images = torch.randint(0, 256, (2500, 1, 8, 8), dtype=torch.uint8)
    prepare = Preparation(described.mean, described.deviation)
    assert torch.equal(predict(models.rebuild(described, weights), images, prepare), predict(model, images, prepare))


def test_weights_of_another_model_are_refused() -> None:
    trained = TrainedModel(model=MODEL, shape=(1, 8, 8), classes=["a", "b"], mean=[0.0], deviation=[1.0])
    with pytest.raises(ArtifactError, match="does not fit"):
        models.rebuild(trained, {"0.weight": torch.zeros(2, 2)})


def test_the_linear_model_has_the_textbooks_first_weights() -> None:
    torch.manual_seed(0)
    reference = nn.Linear(784, 10)
    torch.manual_seed(0)
    model = models.build(MODEL.model_copy(update={"name": "linear"}), (1, 28, 28), classes=10)
    assert all(torch.equal(mine, its) for mine, its in zip(model.parameters(), reference.parameters(), strict=True))


def test_the_mlp_has_the_widths_of_the_params() -> None:
    settings = MODEL.model_copy(update={"name": "mlp", "mlp": MODEL.mlp.model_copy(update={"hidden": [5, 4]})})
    linears = [layer for layer in models.build(settings, (1, 2, 3), classes=3) if isinstance(layer, nn.Linear)]  # type: ignore[attr-defined]
    assert [(layer.in_features, layer.out_features) for layer in linears] == [(6, 5), (5, 4), (4, 3)]


def test_the_cnn_refuses_an_image_that_is_too_small_to_be_halved() -> None:
    with pytest.raises(DataError, match="3x9 pixels cannot be halved 2 times; expected at least 4x4"):
        models.build(MODEL.model_copy(update={"name": "cnn"}), (1, 3, 9), classes=2)
