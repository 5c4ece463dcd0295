"""Batches of a split: slices of tensors in memory, in an order that follows from the seed and the epoch alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tasks.contracts.splits import Split
from tasks.learning.inference import Preparation

# float32: 1 MiB. Part of the result where a batch is no multiple of 64 bytes: it then begins where vectors are added in another order.
BLOCK_VALUES = 2**18


@dataclass(frozen=True)
class Batches:
    """All of a split once an epoch; the last batch is smaller where the sizes do not divide.

    Batches are prepared a block at a time, as each call of torch costs more than the work on a small batch.
    """

    split: Split
    prepare: Preparation
    batch_size: int
    shuffle: bool
    seed: int

    def __len__(self) -> int:
        """Steps an epoch."""
        return math.ceil(len(self.split) / self.batch_size)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, C, H, W) float32 and labels (B,) int64, cut from blocks: no example is touched one by one."""
        for images, labels in self._blocks(number):
            yield from zip(self.prepare(images).split(self.batch_size), labels.split(self.batch_size), strict=True)

    def _blocks(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The stored images and labels in the epoch's order, as many whole batches at once as a processor's cache holds."""
        batch_values = self.batch_size * math.prod(self.split.images.shape[1:])
        size = self.batch_size * max(1, BLOCK_VALUES // max(1, batch_values))
        if self.shuffle:
            for chosen in self._order(epoch).split(size):
                yield self.split.images[chosen], self.split.labels[chosen]
        else:
            yield from zip(self.split.images.split(size), self.split.labels.split(size), strict=True)

    def _order(self, epoch: int) -> Tensor:
        """Keyed by seed and epoch, so that an epoch's order does not depend on the epochs before it."""
        state = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.randperm(len(self.split), generator=torch.Generator().manual_seed(state))
