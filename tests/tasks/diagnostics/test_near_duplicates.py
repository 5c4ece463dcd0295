"""Copies of training images that were changed a little, and groups of pictures that straddle the splits."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.splits import Arrays
from tasks.diagnostics.checks.near_duplicates import intrinsic_dimension
from tasks.sources import published
from tasks.statistics.neighbours import nearest
from tests.tasks.diagnostics.pictured import Splits, found, pictured
from tests.tasks.diagnostics.trained import pictures, splits
from tests.tasks.diagnostics.worlds import LIMITS

Images = NDArray[np.uint8]
SIZES = (1000, 500, 1000)
ROWS = list(range(3, 1000, 100))  # of test, that are copied into train


def re_encoded(images: Images, quality: int) -> Images:
    """Grey images (N, 1, H, W) after JPEG."""

    def one(image: Images) -> Images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.array(Image.open(file))

    return np.stack([one(image[0]) for image in images])[:, None]


def brighter(images: Images, levels: int) -> Images:
    return np.clip(images.astype(np.int64) + levels, 0, 255).astype(np.uint8)


def noisy(images: Images, levels: float) -> Images:
    changed = images + levels * np.random.default_rng(3).normal(size=images.shape)
    return np.clip(changed, 0, 255).astype(np.uint8)


def planted(data: Splits, copies: Images, labels: NDArray[np.int64] | None = None) -> Splits:
    """The training images begin with these copies."""
    images, known = data["train"].images.copy(), data["train"].labels.copy()
    images[: len(copies)] = copies
    if labels is not None:
        known[: len(labels)] = labels
    return data | {"train": replace(data["train"], images=images, labels=known)}


def grouped(seed: int, size: int, noise: float, n: int = 2504) -> Splits:
    """Scenes that are each photographed `size` times, with noise that differs, and divided without regard to the scene."""
    scenes, classes = pictures(n // size, seed)
    images, labels = scenes.repeat(size, axis=0), classes.repeat(size)
    random = np.random.default_rng([seed, 9])
    photographs = np.clip(images + 255 * noise * random.normal(size=images.shape), 0, 255).astype(np.uint8)
    parts = np.split(random.permutation(len(labels)), [1000, 1500])
    train, val, test = (Arrays(photographs[rows], labels[rows], rows) for rows in parts)
    return {"train": train, "val": val, "test": test}


@pytest.mark.parametrize("seed", range(3))
def test_pictures_that_are_only_alike_pass(seed: int) -> None:
    finding = found("near_duplicates", pictured(splits(SIZES, seed), seed))
    assert (finding.status, finding.estimate, finding.n) == ("pass", 0, 1500)
    assert finding.summary.startswith("None of the 1000 test and 500 validation images that were compared with train is a near")


@pytest.mark.parametrize(
    "change",
    [lambda x: brighter(x, 1), lambda x: noisy(x, 5), lambda x: re_encoded(x, 90)],
    ids=["brighter by one grey level", "noise", "JPEG 90"],
)
def test_changed_copies_in_train_are_found_to_the_image(change: Callable[[Images], Images]) -> None:
    data = splits(SIZES, 1)
    world = pictured(planted(data, change(data["test"].images[ROWS])))
    finding = found("near_duplicates", world)
    leaked = data["test"].rows[ROWS].tolist()
    assert (finding.status, finding.minor, finding.evidence["leaked_test_rows"]) == ("flag", True, leaked)
    assert finding.evidence["training_rows_they_are_near_to"] == list(range(10))
    right = world.test_logits.argmax(-1) == world.test.labels
    assert finding.evidence["accuracy_without_leaked"] == pytest.approx(np.delete(right, ROWS).mean())
    assert finding.evidence["accuracy_of_leaked"] == pytest.approx(right[ROWS].mean())
    assert finding.summary.startswith(
        "10 of 1000 test images and 0 of 500 validation images are near duplicates of training images"
    )
    assert finding.remedy is not None


def test_two_copies_of_an_image_in_train_do_not_hide_each_other() -> None:
    data = splits(SIZES, 2)
    copied = data["test"].images[ROWS]
    finding = found("near_duplicates", pictured(planted(data, np.concatenate([noisy(copied, 4), brighter(copied, 2)]))))
    assert finding.evidence["leaked_test_rows"] == data["test"].rows[ROWS].tolist()


def test_copies_in_validation_are_named_and_copies_with_another_label_too() -> None:
    data = splits(SIZES, 3)
    originals = np.concatenate([data["test"].images[ROWS], data["val"].images[:5]])
    labels = np.concatenate([data["test"].labels[ROWS], data["val"].labels[:5]])
    labels[:2] = (labels[:2] + 1) % 10
    finding = found("near_duplicates", pictured(planted(data, brighter(originals, 2), labels)))
    assert finding.evidence["leaked_validation_rows"] == data["val"].rows[:5].tolist()
    assert finding.evidence["copies_with_another_label"] == 2
    assert finding.evidence["copies_with_another_label_test_rows"] == data["test"].rows[ROWS[:2]].tolist()


def test_copies_that_matter_to_validation_are_not_minor_though_test_is_large() -> None:
    data = splits((1000, 100, 1000), 3)
    finding = found("near_duplicates", pictured(planted(data, brighter(data["val"].images[:5], 2))))
    assert (finding.estimate or 0) < LIMITS.harm_accuracy <= 5 / 100
    assert (finding.status, finding.minor) == ("flag", False)


def test_identical_images_are_left_to_integrity() -> None:
    data = splits(SIZES, 4)
    world = pictured(planted(data, data["test"].images[ROWS]))
    finding = found("near_duplicates", world)
    assert (finding.status, finding.evidence["identical_images_left_to_integrity"]) == ("pass", 10)
    assert found("integrity", world).evidence["leaked_test_rows"] == data["test"].rows[ROWS].tolist()


def test_a_copy_of_most_of_the_test_set_does_not_pass_for_the_usual_distance() -> None:
    data = splits((1000, 0, 800), 5)
    finding = found("near_duplicates", pictured(planted(data, brighter(data["test"].images[:700], 2))))
    assert finding.estimate == pytest.approx(700 / 800)
    assert not finding.minor


@pytest.mark.parametrize(("size", "noise"), [(2, 0.1), (2, 0.2), (4, 0.1), (4, 0.2), (8, 0.1), (8, 0.2)])
def test_scenes_that_straddle_the_splits_are_flagged(size: int, noise: float) -> None:
    """Truly trained models are 17 (noise 0.2) to 27 (noise 0.05) points less accurate on new scenes, with four photographs of each."""
    finding = found("near_duplicates", pictured(grouped(0, size, noise)))
    assert (finding.status, finding.minor) == ("flag", False)
    assert "as pictures of one scene are" in finding.summary
    assert "Divide the data by scene" in finding.summary


def test_few_test_images_cannot_show_that_no_scene_straddles_the_splits() -> None:
    finding = found("near_duplicates", pictured(splits((1000, 500, 40), 0)))
    assert finding.status == "inconclusive"
    assert "40 test images are too few" in finding.summary


def test_images_of_two_pixels_are_as_close_by_chance_as_copies_are() -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (2500, 1, 1, 2), dtype=np.uint8), random.integers(0, 2, 2500)
    parts = {"train": slice(0, 1000), "val": slice(1000, 1500), "test": slice(1500, 2500)}
    data: Splits = {name: Arrays(images[part], labels[part], np.arange(2500)[part]) for name, part in parts.items()}  # type: ignore[misc]
    finding = found("near_duplicates", pictured(data))
    assert (finding.status, finding.estimate) == ("inconclusive", 0)
    assert "near duplicates cannot be told from chance" in finding.summary


def test_with_few_training_images_it_is_not_run() -> None:
    assert found("near_duplicates", pictured(splits((15, 5, 20), 0))).status == "not_run"


def test_more_images_than_stated_are_drawn_at_random() -> None:
    data = splits(SIZES, 1)
    finding = found("near_duplicates", pictured(planted(data, brighter(data["test"].images, 1))), rows=200)
    assert (finding.n, finding.estimate) == (400, 0.5)
    assert set(finding.evidence["leaked_test_rows"]) < set(data["test"].rows.tolist())  # type: ignore[arg-type]


@pytest.mark.parametrize("dimension", [3, 8, 16])
def test_the_dimension_is_that_of_the_points_and_chance_brings_ratios_as_stated(dimension: int) -> None:
    points = np.random.default_rng(dimension).normal(size=(6000, dimension))
    pixels = np.clip(128 + 25 * points, 0, 255).astype(np.uint8).reshape(6000, 1, 1, dimension)
    distance = nearest(pixels[:2000], pixels[2000:]).distance
    estimate = intrinsic_dimension(distance)
    assert estimate == pytest.approx(dimension, rel=0.2)
    assert (distance[:, 0] / distance[:, 1] < 0.05 ** (1 / estimate)).mean() == pytest.approx(0.05, abs=0.02)


@pytest.mark.slow
def test_false_alarms_and_sensitivity_over_many_worlds() -> None:
    """Measured: 0 of 100 clean worlds flagged, all pass; 20 of 20 with five noisy copies, 40 of 40 with groups flagged.

    The first half of each is seen here.
    """
    clean = [found("near_duplicates", pictured(splits(SIZES, seed, (0.25, 0.1)[seed % 2]), seed)).status for seed in range(50)]
    assert clean == 50 * ["pass"]
    leaks = []
    for seed in range(10):
        data = splits(SIZES, seed)
        leaks.append(found("near_duplicates", pictured(planted(data, noisy(data["test"].images[:5], 4)))).status)
    assert leaks == 10 * ["flag"]
    groups = [found("near_duplicates", pictured(grouped(seed, size, 0.2))).status for seed in range(10) for size in (2, 4)]
    assert groups == 20 * ["flag"]


@pytest.fixture(scope="module")
def digits_of_mnist(mnist: Path) -> Splits:
    source = published.load("mnist", mnist / "mnist")
    assert source.test is not None
    train, test = (
        Arrays(np.asarray(rows.images), rows.labels, np.arange(len(rows.labels))) for rows in (source.train, source.test)
    )
    none = Arrays(train.images[:0], train.labels[:0], train.rows[:0])
    return {"train": train, "val": none, "test": test}


@pytest.mark.slow
@pytest.mark.mnist
def test_clean_mnist_passes(digits_of_mnist: Splits) -> None:
    """No exact duplicates exist, and the lowest ratio is 0.40; 1.9 % of the images are close by the law of chance, which says 1 %."""
    finding = found("near_duplicates", pictured(digits_of_mnist))
    assert (finding.status, finding.estimate, finding.n) == ("pass", 0, 10_000)
    assert found("integrity", pictured(digits_of_mnist)).status == "pass"


@pytest.mark.slow
@pytest.mark.mnist
def test_a_hundredth_of_mnists_test_images_in_train_is_found_to_the_image(digits_of_mnist: Splits) -> None:
    """100 test images: a third exact, a third shifted by a pixel, a third re-encoded."""
    random = np.random.default_rng(0)
    rows = np.sort(random.choice(10_000, 100, replace=False))
    exact, moved, encoded = np.split(rows, [33, 66])
    images = digits_of_mnist["test"].images
    shifts = [shift for shift in np.ndindex(3, 3) if shift != (1, 1)]
    shifted = [np.roll(images[row], np.array(shifts[k % 8]) - 1, axis=(1, 2)) for k, row in enumerate(moved)]
    world = pictured(
        planted(digits_of_mnist, np.concatenate([images[exact], np.stack(shifted), re_encoded(images[encoded], 90)]))
    )
    near, same = found("near_duplicates", world), found("integrity", world)
    assert (near.status, same.status) == ("flag", "flag")
    assert same.evidence["leaked_test_rows"] == exact.tolist()
    assert near.evidence["leaked_test_rows"] == np.concatenate([moved, encoded]).tolist()
