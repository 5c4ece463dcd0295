"""Each method on models for which every pixel's share is known."""

import math

import pytest
import torch
from torch import Tensor, nn

from tasks.core.components import Choice, Component

FOLDER = Component("tasks.attributions")
NAMES = FOLDER.names()
WEIGHTS = torch.tensor([[1.0, -2.0, 0.0, 3.0], [-1.0, 0.5, 4.0, 0.0], [0.0, 0.0, 0.0, 0.0]])


def choose(name: str, **options: float) -> Choice:
    return FOLDER.choose({"name": name, **options})


def linear() -> nn.Module:
    """Three classes of images (1, 2, 2)."""
    layer = nn.Linear(4, 3)
    layer.load_state_dict({"weight": WEIGHTS, "bias": torch.tensor([0.1, 0.2, 0.3])})
    return nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)


def convolutional(channels: int) -> nn.Module:
    torch.manual_seed(1)
    layers = (nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 5))
    return nn.Sequential(*layers).eval().requires_grad_(False)


def attribute(method: Choice, model: nn.Module, inputs: Tensor, classes: Tensor, most: int = 100) -> Tensor:
    found = method.module.attribute(method.settings, model, inputs, classes, most)
    assert isinstance(found, Tensor)
    return found


INPUTS = torch.tensor([[0.5, 1.0, -1.0, 2.0], [2.0, 0.0, 1.0, 1.0]]).view(2, 1, 2, 2)
CLASSES = torch.tensor([0, 1])


def test_saliency_of_a_linear_model_is_the_absolute_weight() -> None:
    found = attribute(choose("saliency"), linear(), INPUTS, CLASSES)
    assert torch.equal(found.flatten(1), WEIGHTS[:2].abs())


def test_integrated_gradients_of_a_linear_model_are_weight_times_pixel() -> None:
    found = attribute(choose("integrated_gradients"), linear(), INPUTS, CLASSES)
    assert torch.allclose(found.flatten(1), WEIGHTS[:2] * INPUTS.flatten(1), atol=1e-6)


def test_occlusion_of_a_linear_model_by_single_pixels_is_weight_times_pixel() -> None:
    found = attribute(choose("occlusion", window=0.5, stride=1.0), linear(), INPUTS, CLASSES)
    assert torch.allclose(found.flatten(1), WEIGHTS[:2] * INPUTS.flatten(1), atol=1e-6)


def test_occlusion_averages_the_squares_that_cover_a_pixel() -> None:
    """A window of the whole height and half the width moves by one column: each column is one square."""
    found = attribute(choose("occlusion", window=1.0), linear(), INPUTS, CLASSES)
    assert torch.allclose(found[0], torch.full((2, 2), float((WEIGHTS[0] * INPUTS[0].flatten()).sum())), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_integrated_gradients_add_up_to_the_difference_of_the_logits(channels: int) -> None:
    model, inputs = convolutional(channels), torch.randn(3, channels, 6, 6, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 3, 4])
    found = attribute(choose("integrated_gradients", steps=500), model, inputs, classes).sum(dim=(1, 2))
    difference = (model(inputs) - model(torch.zeros_like(inputs))).gather(1, classes[:, None])[:, 0]
    assert torch.allclose(found, difference, atol=2e-2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_each_method_gives_one_heat_map_per_image_whatever_the_batch(name: str, channels: int) -> None:
    model, inputs = convolutional(channels), torch.randn(3, channels, 6, 7, generator=torch.Generator().manual_seed(0))
    method, classes, before = choose(name), torch.tensor([0, 3, 4]), inputs.clone()
    found = attribute(method, model, inputs, classes)
    assert found.shape == (3, 6, 7)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert method.module.SIGNED or found.min() >= 0
    assert method.module.MEANING
    assert torch.equal(inputs, before)
    for most in (1, 4):
        assert torch.allclose(attribute(method, model, inputs, classes, most), found, atol=1e-5)
    single = torch.cat([attribute(method, model, inputs[[n]], classes[[n]]) for n in range(3)])
    assert torch.allclose(single, found, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_never_given_more_images_than_allowed(name: str) -> None:
    sizes: list[int] = []

    class Watched(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            return images.flatten(1) ** 2

    method, inputs = choose(name), torch.randn(2, 1, 8, 8)
    attribute(method, Watched(), inputs, torch.tensor([0, 1]), 5)
    assert max(sizes) <= 5
    assert math.prod(inputs.shape) > 5
