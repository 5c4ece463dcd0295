"""The mixing of examples, over the folder, and each against torchvision's arithmetic with the same share and the same partners."""

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms import v2

from tasks.core.components import Component
from tasks.learning import pairs
from tasks.learning.mixing import cutmix, mixup
from tests.tasks.learning.test_learning import build

MIXING = Component("tasks.learning.mixing")
NAMES = ["cutmix", "mixup"]
SHAPES = [(12, 1, 9, 14), (12, 3, 16, 10), (1, 3, 8, 8)]
CLASSES = 5


def random(state: int) -> Generator:
    return Generator().manual_seed(state)


def batch(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return torch.rand(shape, generator=random(0)), torch.randint(0, CLASSES, shape[:1], generator=random(1))


def one_hot(labels: Tensor) -> Tensor:
    return torch.eye(CLASSES)[labels]


def test_every_component_is_tested_here() -> None:
    assert MIXING.names() == sorted([*NAMES, "none"])
    assert build(MIXING, {"name": "none"}) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_targets_are_shares_that_sum_to_1_and_the_batch_is_left_alone(name: str, shape: tuple[int, ...]) -> None:
    images, labels = batch(shape)
    before = images.clone(), labels.clone()
    mixed, targets = build(MIXING, {"name": name})(images, labels, CLASSES, random(3))
    assert (mixed.shape, mixed.dtype) == (images.shape, torch.float32)
    assert (targets.shape, targets.dtype) == ((len(labels), CLASSES), torch.float32)
    torch.testing.assert_close(targets.sum(1), torch.ones(len(labels)))
    assert (torch.equal(images, before[0]), torch.equal(labels, before[1])) == (True, True)


@pytest.mark.parametrize("name", NAMES)
def test_the_bits_follow_from_the_state_of_the_generator_alone(name: str) -> None:
    mix = build(MIXING, {"name": name})
    torch.manual_seed(1)
    first, targets = mix(*batch(SHAPES[1]), CLASSES, random(7))
    torch.manual_seed(2)
    again, targets_again = mix(*batch(SHAPES[1]), CLASSES, random(7))
    other, other_targets = mix(*batch(SHAPES[1]), CLASSES, random(8))
    assert torch.equal(first, again)
    assert torch.equal(targets, targets_again)
    assert not torch.equal(first, other)
    assert not torch.equal(targets, other_targets)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_without_mixing_there_are_the_same_images_and_one_hot_targets(name: str, shape: tuple[int, ...]) -> None:
    images, labels = batch(shape)
    mixed, targets = build(MIXING, {"name": name, "probability": 0.0})(images, labels, CLASSES, random(3))
    assert torch.equal(mixed, images)
    assert torch.equal(targets, one_hot(labels))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_one_example_is_its_own_partner(name: str) -> None:
    images, labels = batch((1, 3, 8, 8))
    mixed, targets = build(MIXING, {"name": name})(images, labels, CLASSES, random(3))
    torch.testing.assert_close(mixed, images)
    torch.testing.assert_close(targets, one_hot(labels))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.85, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_mixup_is_torchvisions_with_the_same_share_and_partners(shape: tuple[int, ...], share: float) -> None:
    images, labels = batch(shape)
    reference = v2.MixUp(num_classes=CLASSES)
    expected, targets = (
        reference.transform(each, {"lam": share, "labels": labels, "batch_size": len(labels)}) for each in (images, labels)
    )
    torch.testing.assert_close(mixup.blended(images, images.roll(1, 0), share), expected)
    torch.testing.assert_close(pairs.soft(labels, labels.roll(1), share, CLASSES), targets)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("shape", SHAPES)
def test_cutmix_is_torchvisions_with_the_same_share_centre_and_partners(
    shape: tuple[int, ...], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision draws a share, then the column and the row of the centre."""
    images, labels = batch(shape)
    height, width = shape[-2:]
    share, column, row = float(torch.rand((), generator=random(seed))), seed % width, 5 * seed % height
    reference = v2.CutMix(num_classes=CLASSES)
    drawn = iter([torch.tensor([column]), torch.tensor([row])])
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randint", lambda *arguments, **options: next(drawn))
        patch.setattr(reference._dist, "sample", lambda shape: torch.tensor(share, dtype=torch.float64))
        expected, targets = reference(images, labels)

    box = cutmix.rectangle(share, (column + 0.5) / width, (row + 0.5) / height, height, width)
    top, bottom, left, right = box
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    assert torch.equal(cutmix.pasted(images, images.roll(1, 0), box), expected)
    torch.testing.assert_close(pairs.soft(labels, labels.roll(1), kept, CLASSES), targets)


@pytest.mark.parametrize("name", NAMES)
def test_the_targets_say_how_much_of_an_image_comes_from_whom(name: str) -> None:
    """Each image has the value of its label, so that the mean of a mixed image is the mean of its labels."""
    labels = torch.arange(12) % CLASSES
    images = labels.float().view(-1, 1, 1, 1).expand(-1, 2, 9, 6)
    for state in range(20):
        mixed, targets = build(MIXING, {"name": name})(images, labels, CLASSES, random(state))
        torch.testing.assert_close(mixed.mean((1, 2, 3)), targets @ torch.arange(CLASSES).float())


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_share_follows_the_beta_distribution(alpha: float) -> None:
    from scipy.stats import beta, kstest

    shares = [pairs.draw(2, alpha, 1.0, random(state)).share for state in range(2000)]
    assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 0.001


def test_the_share_of_batches_that_are_mixed_is_the_one_that_is_stated() -> None:
    shares = [pairs.draw(2, 1.0, 0.3, random(state)).share for state in range(2000)]
    assert sum(share < 1 for share in shares) / 2000 == pytest.approx(0.3, abs=0.04)


def test_partners_are_a_permutation_of_the_batch() -> None:
    drawn = pairs.draw(50, 1.0, 1.0, random(0)).partner
    assert sorted(drawn.tolist()) == list(range(50))
    assert drawn.tolist() != list(range(50))
