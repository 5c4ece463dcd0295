"""Data whose truth is known: as many rows of the population as wanted, and defects that are planted into it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.splits import SPLITS, Arrays, SplitName
from tests.tasks.diagnostics import trained

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Logits = NDArray[np.float32]
Draw = Callable[[int, int], tuple[Images, Labels]]
FRESH_ROWS = 20_000
FRESH_SEED = 2**31  # far from the seeds of the worlds


@dataclass(frozen=True, eq=False)
class Data:
    """Three splits, and new rows drawn as the test rows are; None where the test rows are not drawn from one population.

    `wrong` is the share of the labels of val and test that were replaced by others. `alike` says whether val is drawn as test is.
    """

    splits: Mapping[SplitName, Arrays]
    fresh: tuple[Images, Labels] | None
    classes: int
    wrong: float = 0.0
    alike: bool = True

    def with_split(self, name: SplitName, rows: Arrays) -> "Data":
        return replace(self, splits={**self.splits, name: rows})


@cache
def fresh_pictures(noise: float) -> tuple[Images, Labels]:
    return trained.pictures(FRESH_ROWS, FRESH_SEED, noise)


def pictures(sizes: tuple[int, int, int], seed: int, noise: float = 0.12) -> Data:
    """Ten smooth patterns, shifted and covered by noise: 94 % of the images can be told apart at a noise of 0.12, 73 % at 0.25.

    So much is what a network reaches. At a noise of 0.35 no classifier is right on more than about 72 %.
    """
    return Data(trained.splits(sizes, seed, noise), fresh_pictures(noise), trained.CLASSES)


def divided(images: Images, labels: Labels, sizes: tuple[int, int, int]) -> dict[SplitName, Arrays]:
    """The rows in this order as train, val and test."""
    bounds, rows = np.cumsum([0, *sizes]), np.arange(len(labels))
    parts = zip(SPLITS, bounds[:-1], bounds[1:], strict=True)
    return {name: Arrays(images[start:stop], labels[start:stop], rows[start:stop]) for name, start, stop in parts}


def drawn(draw: Draw, sizes: tuple[int, int, int], seed: int, classes: int) -> Data:
    """The splits and the fresh rows of a population; `draw` is given a number of rows and a seed."""
    return Data(divided(*draw(sum(sizes), seed), sizes), draw(FRESH_ROWS, FRESH_SEED), classes)


def logistic(n: int, seed: int, scale: float = 12) -> tuple[Images, Labels]:
    """Images (N, 1, 4, 4) of independent pixels, and labels of three classes from a multinomial logistic model of them.

    The model itself is right on 84 % of the images, and at a `scale` of 4, where the classes overlap more, on 63 %.
    """
    random = np.random.default_rng([seed, 2])
    images = random.integers(0, 256, size=(n, 1, 4, 4), dtype=np.uint8)
    weights, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 3)))  # no class is harder than another
    logits = scale * (images.reshape(n, 16) / 255 - 0.5) @ weights
    return images, (logits + random.gumbel(size=logits.shape)).argmax(axis=1)


def xor(n: int, seed: int) -> tuple[Images, Labels]:
    """Images (N, 1, 8, 8) whose left and right halves are bright or dark; the label says whether the halves differ."""
    random = np.random.default_rng([seed, 8])
    halves = random.integers(0, 2, size=(n, 2))
    shown = 0.5 + 0.25 * (2 * halves - 1).repeat(4, axis=1)[:, None, :] + 0.15 * random.normal(size=(n, 8, 8))
    return (255 * shown.clip(0, 1)).astype(np.uint8)[:, None], halves.sum(axis=1) % 2


def imbalanced(n: int, seed: int, share: float = 0.01) -> tuple[Images, Labels]:
    """Images (N, 1, 8, 8) of two patterns covered by noise, of which the second is this rare."""
    patterns, random = np.random.default_rng(1).normal(size=(2, 8, 8)), np.random.default_rng([seed, 3])
    labels = (random.random(n) < share).astype(np.int64)
    shown = 0.5 + 0.15 * patterns[labels] + 0.35 * random.normal(size=(n, 8, 8))
    return (255 * shown.clip(0, 1)).astype(np.uint8)[:, None], labels


def leaking(data: Data, share: float, seed: int, change: Callable[[Images], Images] = lambda images: images) -> Data:
    """A share of the test rows is replaced by training rows, whose images may be changed a little."""
    train, test, random = data.splits["train"], data.splits["test"], np.random.default_rng([seed, 4])
    count = round(share * len(test.labels))
    source = random.choice(len(train.labels), count, replace=False)
    target = random.choice(len(test.labels), count, replace=False)
    images, labels = test.images.copy(), test.labels.copy()
    images[target], labels[target] = change(train.images[source]), train.labels[source]
    return replace(data.with_split("test", replace(test, images=images, labels=labels)), fresh=None)


def _random(images: Images) -> np.random.Generator:
    """Another one for other images."""
    return np.random.default_rng([int(images.sum(dtype=np.int64)), 7])


def retouched(images: Images) -> Images:
    """A little brighter, with a little noise: 2 of 255 grey levels each."""
    noise = 2 * _random(images).normal(size=images.shape)
    return (images + 2 + noise).clip(0, 255).astype(np.uint8)


def in_groups(sizes: tuple[int, int, int], seed: int, photographs: int = 8, noise: float = 0.02) -> Data:
    """Scenes, each photographed several times, divided without regard to the scene."""
    scenes, classes = trained.pictures(-(-sum(sizes) // photographs), seed)
    random = np.random.default_rng([seed, 9])
    order = random.permutation(len(classes) * photographs)[: sum(sizes)]
    images = scenes.repeat(photographs, axis=0)[order]
    images = (images + 255 * noise * random.normal(size=images.shape)).clip(0, 255).astype(np.uint8)
    return Data(divided(images, classes.repeat(photographs)[order], sizes), None, trained.CLASSES)


def flipped(data: Data, share: float, seed: int) -> Data:
    """A share of the labels, everywhere, is replaced by another class at random."""
    random = np.random.default_rng([seed, 5])

    def flip(labels: Labels) -> Labels:
        others = (labels + random.integers(1, data.classes, len(labels))) % data.classes
        return np.where(random.random(len(labels)) < share, others, labels)

    relabelled = {name: replace(rows, labels=flip(rows.labels)) for name, rows in data.splits.items()}
    held_out = [(data.splits[name].labels != relabelled[name].labels) for name in ("val", "test")]
    fresh = None if data.fresh is None else (data.fresh[0], flip(data.fresh[1]))
    return Data(relabelled, fresh, data.classes, float(np.concatenate(held_out).mean()))


def shuffled(data: Data, seed: int) -> Data:
    """No label says anything about its image."""
    random = np.random.default_rng([seed, 6])
    splits = {name: replace(rows, labels=random.permutation(rows.labels)) for name, rows in data.splits.items()}
    fresh = None if data.fresh is None else (data.fresh[0], random.permutation(data.fresh[1]))
    return replace(data, splits=splits, fresh=fresh)


def shifted(data: Data, change: Callable[[Images], Images]) -> Data:
    """The test images are changed, and so is what test is drawn from."""
    test = data.splits["test"]
    fresh = None if data.fresh is None else (change(data.fresh[0]), data.fresh[1])
    return replace(data.with_split("test", replace(test, images=change(test.images))), fresh=fresh, alike=False)


def noisier(images: Images) -> Images:
    noise = 25 * _random(images).normal(size=images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


def paler(images: Images) -> Images:
    """Two thirds of the contrast."""
    return (127.5 + (images.astype(np.float64) - 127.5) * 2 / 3).astype(np.uint8)


def resampled(data: Data, keep: Callable[[Labels], NDArray[np.float64]], seed: int, rows: int) -> Data:
    """Test and what it is drawn from keep each row with the probability that its label has; of test at most `rows` are kept."""
    random = np.random.default_rng([seed, 10])

    def kept(labels: Labels) -> Labels:
        return np.flatnonzero(random.random(len(labels)) < keep(labels))

    test = data.splits["test"]
    chosen = kept(test.labels)[:rows]
    data = data.with_split("test", Arrays(test.images[chosen], test.labels[chosen], test.rows[chosen]))
    if data.fresh is None:
        return data
    images, labels = data.fresh
    chosen = kept(labels)
    return replace(data, fresh=(images[chosen], labels[chosen]), alike=False)


def with_rare_class(data: Data, rows: int, rare: int = 9) -> Data:
    """The class has so many rows in test, and as few for its size in train and val."""
    test = data.splits["test"]
    share = rows / int((test.labels == rare).sum())

    def thinned(part: Arrays) -> Arrays:
        members = np.flatnonzero(part.labels == rare)
        dropped = members[round(share * len(members)) :]
        kept = np.delete(np.arange(len(part.labels)), dropped)
        return Arrays(part.images[kept], part.labels[kept], part.rows[kept])

    fresh = None
    if data.fresh is not None:
        everything = thinned(Arrays(*data.fresh, np.arange(len(data.fresh[1]))))
        fresh = (everything.images, everything.labels)
    return replace(data, splits={name: thinned(part) for name, part in data.splits.items()}, fresh=fresh)


def in_class_order(data: Data) -> Data:
    """The training rows are sorted by their class."""
    train = data.splits["train"]
    order = np.argsort(train.labels, kind="stable")
    sorted_rows = Arrays(train.images[order], train.labels[order], train.rows[order])
    return data.with_split("train", sorted_rows)
