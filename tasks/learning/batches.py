"""Batches of a split: slices of tensors in memory, in an order that follows from the seed and the epoch alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tasks.contracts.splits import Split
from tasks.models.inference import Preparation


@dataclass(frozen=True)
class Batches:
    """All of a split once an epoch; the last batch is smaller where the sizes do not divide."""

    split: Split
    prepare: Preparation
    batch_size: int
    shuffle: bool
    seed: int

    def __len__(self) -> int:
        """Steps an epoch."""
        return math.ceil(len(self.split) / self.batch_size)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, C, H, W) float32 and labels (B,) int64. Whole tensors are sliced: no example is touched one by one."""
        images, labels, size = self.split.images, self.split.labels, self.batch_size
        if self.shuffle:
            for chosen in torch.split(self._order(number), size):
                yield self.prepare(images[chosen]), labels[chosen]
        else:
            for start in range(0, len(labels), size):
                yield self.prepare(images[start : start + size]), labels[start : start + size]

    def _order(self, epoch: int) -> Tensor:
        """Keyed by seed and epoch, so that an epoch's order does not depend on the epochs before it."""
        state = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.randperm(len(self.split), generator=torch.Generator().manual_seed(state))
