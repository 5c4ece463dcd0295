"""The models, over the folder: what goes in, what comes out, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torchvision.models import resnet18
from torchvision.ops import StochasticDepth

from tasks.contracts.trained import MODEL, TrainedModel, read_model, write_model
from tasks.core.components import Choice, Component
from tasks.core.errors import ArtifactError, DataError
from tasks.learning.inference import Preparation, predict, rebuild

MODELS = Component("tasks.models")
OWN = [name for name in MODELS.names() if name != "imported"]  # that one: tests/tasks/core/test_imported.py


def choose(name: str, **options: Any) -> Choice:
    return MODELS.choose({"name": name, **options})


def build(choice: Choice, shape: tuple[int, int, int], classes: int) -> nn.Module:
    module: nn.Module = choice.module.build(choice.settings, shape, classes)
    return module


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 13, 6)])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_images_become_logits(name: str, shape: tuple[int, int, int], rows: int) -> None:
    assert build(choose(name), shape, classes=7)(torch.rand(rows, *shape)).shape == (rows, 7)


@pytest.mark.parametrize("name", OWN)
def test_a_model_comes_back_from_its_files_with_the_same_logits(name: str, tmp_path: Path) -> None:
    model = build(choose(name), (1, 8, 8), classes=3).eval()
    trained = TrainedModel(model=choose(name), shape=(1, 8, 8), classes=["a", "b", "c"], mean=[0.1], deviation=[0.9])
    write_model(tmp_path, trained, model.state_dict())
    described, weights = read_model(tmp_path)
    assert described == trained
    images = torch.randint(0, 256, (1200, 1, 8, 8), dtype=torch.uint8)
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


def test_the_lenet_has_the_layers_of_the_published_one_epoch_recipe() -> None:
    """5x5 to 24 and 3x3 to 32 channels without padding, each with max-pool and then ReLU, and 800-256-10, written out by hand."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 24, 5), nn.Conv2d(24, 32, 3)
    hidden, last = nn.Linear(800, 256), nn.Linear(256, 10)
    torch.manual_seed(0)
    model = build(choose("lenet", padding="valid"), (1, 28, 28), classes=10)
    images = torch.rand(3, 1, 28, 28)
    pooled = torch.relu(nn.functional.max_pool2d(first(images), 2))
    pooled = torch.relu(nn.functional.max_pool2d(second(pooled), 2))
    assert torch.equal(model(images), last(torch.relu(hidden(pooled.flatten(1)))))


@pytest.mark.parametrize(("padding", "side"), [("same", 5), ("valid", 5), ("valid", 6)])
def test_the_lenet_counts_the_pixels_that_even_and_odd_kernels_leave(padding: str, side: int) -> None:
    model = build(choose("lenet", channels=[2, 2], kernels=[side, 3], padding=padding), (1, 17, 14), classes=3)
    assert model(torch.rand(2, 1, 17, 14)).shape == (2, 3)


def test_the_lenet_refuses_an_image_that_is_too_small() -> None:
    with pytest.raises(DataError, match=r"8x20 pixels is too small for kernels of \[5, 3\] pixels.*choose padding same"):
        build(choose("lenet", padding="valid"), (1, 8, 20), classes=2)
    with pytest.raises(DataError, match="3x3 pixels is too small"):
        build(choose("lenet"), (1, 3, 3), classes=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [8]}, "kernels has 2 entries and channels 1; expected as many"),
        ({"kernels": [5, 4]}, r"kernels is \[5, 4\]; expected odd numbers with padding same"),
    ],
)
def test_the_lenet_refuses_kernels_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MODELS.settings("lenet").model_validate(options)


def test_resnet18_is_torchvisions_to_the_bit() -> None:
    """The same first weights from the same state of the generator, the same names, the same logits in both modes."""
    torch.manual_seed(0)
    reference = resnet18(num_classes=7)
    torch.manual_seed(0)
    model = build(choose("resnet18"), (3, 40, 32), classes=7)
    assert list(model.state_dict()) == list(reference.state_dict())
    assert all(torch.equal(mine, its) for mine, its in zip(model.parameters(), reference.parameters(), strict=True))
    images = torch.rand(4, 3, 40, 32)
    assert torch.equal(model(images), reference(images))
    assert torch.equal(model.eval()(images), reference.eval()(images))


@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 16, 9), (4, 1, 1)])
def test_resnet18_takes_any_channels_and_sizes_with_either_stem(stem: str, shape: tuple[int, int, int]) -> None:
    model = build(choose("resnet18", stem=stem), shape, classes=3)
    logits = model(torch.rand(2, *shape))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


def test_the_small_stem_of_resnet18_keeps_the_size_and_the_imagenet_stem_takes_a_quarter() -> None:
    for stem, side in (("imagenet", 8), ("small", 32)):
        model = build(choose("resnet18", stem=stem), (1, 32, 32), classes=3)
        sizes: list[torch.Size] = []
        model.get_submodule("layer1").register_forward_pre_hook(lambda _, inputs, seen=sizes: seen.append(inputs[0].shape))
        model(torch.rand(2, 1, 32, 32))
        assert sizes == [(2, 64, side, side)]


def test_a_last_batch_of_one_example_trains_and_leaves_the_running_mean_as_it_is() -> None:
    """8x8 pixels are 1x1 in the last blocks, so that one example has no variance there."""
    model = build(choose("resnet18"), (1, 8, 8), classes=3)
    buffers = dict(model.named_buffers())
    deep, shallow = buffers["layer4.1.bn2.running_mean"], buffers["bn1.running_mean"]
    before = deep.clone(), shallow.clone()
    loss = model(torch.rand(1, 1, 8, 8)).sum()
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(deep, before[0])
    assert not torch.equal(shallow, before[1])
    model(torch.rand(2, 1, 8, 8))
    assert not torch.equal(deep, before[0])


def test_stochastic_depth_grows_linearly_and_skips_blocks_of_single_images_in_training_only() -> None:
    model = build(choose("resnet18", stochastic_depth=0.8), (1, 8, 8), classes=3)
    rates = [module.p for module in model.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])

    last = model.get_submodule("layer4.1")
    kept: list[torch.Tensor] = []
    last.register_forward_hook(lambda _, inputs, output: kept.append((output != inputs[0]).flatten(1).any(1)))
    images = torch.rand(400, 1, 8, 8)
    assert not torch.equal(model(images), model(images))
    assert kept[0].float().mean().item() == pytest.approx(0.2, abs=0.06)

    model.eval()
    assert torch.equal(model(images), model(images))
    assert kept[-1].all()


def test_stochastic_depth_0_has_the_same_bits_as_none() -> None:
    logits = []
    for options in ({}, {"stochastic_depth": 0.0}):
        torch.manual_seed(0)
        model = build(choose("resnet18", **options), (3, 16, 16), classes=3)
        logits.append(model(torch.rand(5, 3, 16, 16)))
    assert torch.equal(*logits)


@pytest.mark.parametrize(("name", "options"), [("mlp", {"hidden": [64]}), ("cnn", {})])
def test_dropout_drops_in_training_alone(name: str, options: dict[str, Any]) -> None:
    model = build(choose(name, dropout=0.5, **options), (1, 8, 8), classes=3)
    images = torch.rand(5, 1, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))
