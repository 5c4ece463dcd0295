"""The augmentations, over the folder, and each against torchvision's functions on one image at a time with the same drawn numbers."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from tasks.core.components import Component
from tasks.core.errors import ParamsError
from tasks.core.settings import Section, validate
from tasks.learning import operations
from tasks.learning.augmentations import geometric
from tasks.learning.operations import LEVELS, NAMES, Drawn
from tests.tasks.learning.test_learning import build

AUGMENTATIONS = Component("tasks.learning.augmentations")
SHAPES = [(40, 1, 9, 14), (40, 3, 12, 7), (1, 3, 8, 8)]
STRONG: dict[str, dict[str, Any]] = {
    "none": {},
    "geometric": {"shift": 0.3, "rotate_degrees": 90.0, "scale": 0.4, "flip": 0.5, "flip_vertical": 0.5, "erase": 0.7},
    "randaugment": {"num_ops": 3, "magnitude": 20},
    "trivialaugment": {},
}
NOTHING: list[dict[str, Any]] = [
    {"name": "geometric", "shift": 0.0, "rotate_degrees": 0.0, "scale": 0.0},
    {"name": "randaugment", "num_ops": 0},
]


def random(state: int) -> Generator:
    return Generator().manual_seed(state)


def pictures(shape: tuple[int, ...], state: int = 0) -> Tensor:
    """Images of bytes, as floats in [0, 1], smooth enough to have structure, with black and white in them."""
    coarse = torch.rand(shape[0], shape[1], 4, 4, generator=random(state))
    smooth = torch.nn.functional.interpolate(coarse, shape[-2:], mode="bilinear") * 1.4 - 0.2
    return (smooth.clamp(0, 1) * 255).round().div(255)


@pytest.mark.parametrize("name", AUGMENTATIONS.names())
@pytest.mark.parametrize("shape", [*SHAPES, (5, 2, 6, 6), (3, 1, 1, 1)])
def test_images_keep_their_form_and_their_range(name: str, shape: tuple[int, ...]) -> None:
    augment = build(AUGMENTATIONS, {"name": name, **STRONG[name]})
    if augment is None:
        assert name == "none"
        return
    images = pictures(shape)
    before = images.clone()
    changed = augment(images, random(1))
    assert (changed.shape, changed.dtype) == (images.shape, torch.float32)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS.names() if name != "none"])
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_the_bits_follow_from_the_state_of_the_generator_alone(name: str, shape: tuple[int, ...]) -> None:
    augment = build(AUGMENTATIONS, {"name": name, **STRONG[name]})
    images = pictures(shape)
    torch.manual_seed(1)
    first = augment(images, random(7))
    torch.manual_seed(2)
    assert torch.equal(augment(images, random(7)), first)
    assert not torch.equal(augment(images, random(8)), first)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS.names() if name != "none"])
def test_each_example_gets_random_numbers_of_its_own(name: str) -> None:
    image = pictures((1, 3, 12, 12))
    changed = build(AUGMENTATIONS, {"name": name, **STRONG[name]})(image.expand(30, -1, -1, -1), random(3))
    assert len({tuple(each.flatten().tolist()) for each in changed}) > 10


@pytest.mark.parametrize("stated", NOTHING, ids=lambda stated: stated["name"])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_strength_leaves_the_images_as_they_are_to_the_bit(stated: dict[str, Any], shape: tuple[int, ...]) -> None:
    images = pictures(shape)
    assert torch.equal(build(AUGMENTATIONS, stated)(images, random(0)), images)


@pytest.mark.parametrize("shape", SHAPES)
def test_geometric_is_torchvisions_affine_of_each_image(shape: tuple[int, ...]) -> None:
    stated = {key: value for key, value in STRONG["geometric"].items() if not key.startswith("erase")}
    choice = AUGMENTATIONS.choose({"name": "geometric", **stated})
    assert isinstance(choice.settings, geometric.Settings)
    images = pictures(shape)
    changed = choice.module.build(choice.settings)(images, random(5))
    drawn = geometric.draw(choice.settings, images, random(5))
    for number, image in enumerate(images):
        expected = functional.horizontal_flip(image) if drawn.flip[number] else image
        expected = functional.vertical_flip(expected) if drawn.flip_vertical[number] else expected
        expected = functional.affine(
            expected,
            angle=math.degrees(drawn.angle[number]),
            translate=drawn.shift[number].tolist(),
            scale=float(drawn.scale[number]),
            shear=[0.0, 0.0],
            interpolation=v2.InterpolationMode.BILINEAR,
        )
        torch.testing.assert_close(changed[number], expected, rtol=0, atol=1e-5)


def test_geometric_draws_within_its_limits_and_uses_them_up() -> None:
    settings = geometric.Settings(shift=0.25, rotate_degrees=30.0, scale=0.2, flip=0.3, flip_vertical=1.0)
    drawn = geometric.draw(settings, torch.zeros(20_000, 1, 8, 40), random(0))
    limits = (
        (drawn.shift[:, 0], -10, 10),
        (drawn.shift[:, 1], -2, 2),
        (drawn.angle.rad2deg(), -30, 30),
        (drawn.scale, 0.8, 1.2),
    )
    for values, low, high in limits:
        assert low <= values.min() < low + (high - low) / 100
        assert high - (high - low) / 100 < values.max() <= high
    assert drawn.flip.double().mean().item() == pytest.approx(0.3, abs=0.02)
    assert drawn.flip_vertical.all()
    assert not drawn.box[:, 2:].any()


def test_a_flip_is_exact() -> None:
    images = pictures((1, 3, 5, 6))
    still = {"shift": 0.0, "rotate_degrees": 0.0, "scale": 0.0}
    augment = build(AUGMENTATIONS, {"name": "geometric", **still, "flip": 1.0, "flip_vertical": 1.0})
    assert torch.equal(augment(images, random(0)), images.flip(-1).flip(-2))


@pytest.mark.parametrize("shape", [(400, 1, 20, 30), (400, 3, 16, 16)])
def test_erasing_is_torchvisions_erase_of_each_image(shape: tuple[int, ...]) -> None:
    settings = geometric.Settings(shift=0.0, rotate_degrees=0.0, scale=0.0, erase=0.5)
    images = pictures(shape)
    changed = geometric.build(settings)(images, random(2))
    boxes = geometric.draw(settings, images, random(2)).box.tolist()
    for image, result, (top, left, height, width) in zip(images, changed, boxes, strict=True):
        assert torch.equal(result, functional.erase(image, top, left, height, width, torch.zeros(shape[1], 1, 1)))
    erased = [(height * width / (shape[-2] * shape[-1]), height / width) for _, _, height, width in boxes if height * width]
    assert len(erased) / len(boxes) == pytest.approx(0.5, abs=0.1)
    areas, ratios = zip(*erased, strict=True)
    assert 0.01 < min(areas) < 0.08
    assert 0.25 < max(areas) < 0.37
    assert min(ratios) < 0.5
    assert max(ratios) > 2


def test_an_image_without_room_for_a_rectangle_is_not_erased() -> None:
    settings = geometric.Settings(shift=0.0, rotate_degrees=0.0, scale=0.0, erase=1.0, erase_smallest=1.0, erase_largest=1.0)
    images = pictures((20, 1, 6, 6))
    assert torch.equal(geometric.build(settings)(images, random(0)), images)


def test_rectangles_in_the_wrong_order_are_refused() -> None:
    class Params(Section):
        erasing: geometric.Settings

    with pytest.raises(ParamsError, match=r"erase_smallest: found 0\.5; expected at most erase_largest, 0\.33"):
        validate(Params, {"erasing": {"erase_smallest": 0.5}})


def of_torchvision(transform: Any, image: Tensor, name: str, amount: float, interpolation: v2.InterpolationMode) -> Tensor:
    """What torchvision does with one image, in floats; in bytes where the operation is made for them."""
    if name in {"Posterize", "Equalize"}:
        image = functional.to_dtype(image, torch.uint8, scale=True)
    changed = transform._apply_image_or_video_transform(image, name, amount, interpolation, {torch.Tensor: None})
    result: Tensor = functional.to_dtype(changed, torch.float32, scale=True)
    return result


@pytest.mark.parametrize("interpolation", list(map(v2.InterpolationMode, ("nearest", "bilinear"))), ids=lambda mode: mode.value)
@pytest.mark.parametrize("shape", [(LEVELS, 1, 10, 14), (LEVELS, 3, 13, 7), (LEVELS, 3, 2, 2)])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("direction", [1, -1])
def test_an_operation_is_torchvisions_on_each_image(
    name: str, shape: tuple[int, ...], direction: int, interpolation: v2.InterpolationMode
) -> None:
    # Heights and widths differ by an even number: else a rotation by 90 degrees looks half-way between two pixels.
    transform = v2.TrivialAugmentWide()
    by_level, signed = transform._AUGMENTATION_SPACE[name]
    levels = by_level(LEVELS, *shape[-2:])
    images = pictures(shape)
    drawn = Drawn(*(torch.full((LEVELS,), NAMES.index(name)), torch.arange(LEVELS), torch.full((LEVELS,), direction)))
    table = operations.amounts(shear=0.99, shift_x=32, shift_y=32, degrees=135, blend=0.99, bits=6)
    changed = operations.apply(images, drawn, table, interpolation.value)
    for level, (image, result) in enumerate(zip(images, changed, strict=True)):
        if level == 0 and levels is not None:
            assert torch.equal(result, image)
            continue
        amount = 0.0 if levels is None else float(levels[level]) * (direction if signed else 1)
        expected = of_torchvision(transform, image, name, amount, interpolation)
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["randaugment", "trivialaugment"])
def test_operations_and_levels_are_torchvisions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Drawn, operations.Amounts, str]] = []

    def watched(images: Tensor, drawn: Drawn, table: operations.Amounts, interpolation: str) -> Tensor:
        asked.append((drawn, table, interpolation))
        return images

    monkeypatch.setattr(operations, "apply", watched)
    build(AUGMENTATIONS, {"name": name})(pictures((5000, 1, 4, 7)), random(0))
    reference = {"randaugment": v2.RandAugment(), "trivialaugment": v2.TrivialAugmentWide()}[name]
    assert len(asked) == getattr(reference, "num_ops", 1)
    for drawn, table, interpolation in asked:
        assert list(table) == list(reference._AUGMENTATION_SPACE)
        for operation, (by_level, signed) in reference._AUGMENTATION_SPACE.items():
            expected = by_level(reference.num_magnitude_bins, 4, 7)
            assert signed == (table[operation] is not None and operation not in operations.WITHOUT_DIRECTION)
            torch.testing.assert_close(table[operation], None if expected is None else expected.float(), rtol=0, atol=0)
        assert interpolation == str(reference.interpolation)
        assert drawn.operation.bincount(minlength=14).min() > 5000 / 14 * 0.8
        assert drawn.direction.unique(return_counts=True)[1].min() > 2300
        levels = set(range(31)) if name == "trivialaugment" else {reference.magnitude}
        assert set(drawn.level.tolist()) == levels


def test_colour_leaves_images_without_three_channels_as_they_are() -> None:
    table = operations.amounts(shear=0, shift_x=0, shift_y=0, degrees=0, blend=0.9, bits=1)
    drawn = Drawn(torch.full((6,), NAMES.index("Color")), torch.full((6,), 20), torch.ones(6, dtype=torch.int64))
    for channels in (1, 2, 4):
        images = pictures((6, channels, 5, 5))
        assert torch.equal(operations.apply(images, drawn, table, "nearest"), images)
    assert not torch.equal(operations.apply(pictures((6, 3, 5, 5)), drawn, table, "nearest"), pictures((6, 3, 5, 5)))


def test_every_augmentation_is_tested_here() -> None:
    assert set(STRONG) == set(AUGMENTATIONS.names())
