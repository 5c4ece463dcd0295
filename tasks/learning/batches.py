"""Batches of a split: slices of tensors in memory, in an order that follows from the seed and the epoch alone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from tasks.contracts.splits import Split
from tasks.learning.inference import Preparation

# float32: 1 MiB. Part of the result where a batch is no multiple of 64 bytes: it then begins where vectors are added in another order.
BLOCK_VALUES = 2**18

# Images (B, C, H, W) float32 in [0, 1] to images of the same shape.
Augment = Callable[[Tensor, Generator], Tensor]
# Images and labels (B,) int64 to images and targets (B, K) float32, K being the number of classes.
Mix = Callable[[Tensor, Tensor, int, Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Batches:
    """All of a split once an epoch; the last batch is smaller where the sizes do not divide.

    Batches are prepared a block at a time, as each call of torch costs more than the work on a small batch. Augmentation and mixing
    draw from a generator that is seeded for each batch, so that a batch follows from the seed, the epoch and its number alone.
    """

    split: Split
    prepare: Preparation
    batch_size: int
    shuffle: bool
    seed: int
    classes: int = 0
    augment: Augment | None = None
    mix: Mix | None = None

    def __len__(self) -> int:
        """Steps an epoch."""
        return math.ceil(len(self.split) / self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, C, H, W) float32 and targets: labels (B,) int64, or (B, K) float32 where examples are mixed.

        Args:
            number: the epoch, from 1.
            start: how many batches are left out, because a run that is continued has seen them.
        """
        size = max(1, BLOCK_VALUES // max(1, self.batch_size * math.prod(self.split.images.shape[1:])))
        for first, rows in enumerate(self.order(number).split(self.batch_size * size)):
            done = max(0, start - first * size)
            if done >= size:
                continue
            chosen = rows if self.shuffle else slice(int(rows[0]), int(rows[-1]) + 1)
            block = self._prepared(self.split.images[chosen], self.split.labels[chosen], number, first * size)
            for position, batch in enumerate(block):
                if position >= done:
                    yield batch

    def _prepared(self, images: Tensor, labels: Tensor, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of a block of stored images, of which the first is number `first` of the epoch, from 0."""
        device = self.prepare.device
        if self.augment is None and self.mix is None:
            yield from zip(self.prepare(images).split(self.batch_size), labels.to(device).split(self.batch_size), strict=True)
            return
        parts = zip(self.prepare.scale(images).split(self.batch_size), labels.to(device).split(self.batch_size), strict=True)
        for number, (scaled, targets) in enumerate(parts, first):
            generator = Generator(device).manual_seed(seed_of(self.seed, epoch, number + 1))
            batch = self.prepare.standardise(scaled if self.augment is None else self.augment(scaled, generator))
            yield (batch, targets) if self.mix is None else self.mix(batch, targets, self.classes, generator)

    def order(self, epoch: int) -> Tensor:
        """Positions (N,) int64 of the rows, in the order in which the epoch trains on them."""
        return shuffled(len(self.split), self.seed, epoch) if self.shuffle else torch.arange(len(self.split))


def shuffled(rows: int, seed: int, epoch: int) -> Tensor:
    """The epoch's order of the rows. It is keyed by the epoch, so that it does not depend on the epochs before it."""
    return torch.randperm(rows, generator=Generator().manual_seed(seed_of(seed, epoch)))


def seed_of(*numbers: int) -> int:
    """A seed of its own for each sequence of numbers: the run's seed, the epoch, the batch."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
