"""Batch normalisation and batches that are too small for it: the last one of an epoch often is, and nobody asked for it."""

from copy import deepcopy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.core.errors import ParamsError

# Fewer examples than this have a mean and a variance that say little of the others.
ENOUGH = 4


def has_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def warn_of_small_batches(model: nn.Module, shape: tuple[int, int, int], rows: int, batch_size: int, divided: int) -> None:
    """Print one line where the model normalises over fewer than four examples.

    Args:
        model: before its first step; it stays as it is, and so does torch's generator.
        shape: of an image (C, H, W).
        rows: of the train split.
        batch_size: examples of each batch but the last.
        divided: into how many parts each batch is divided, every one of which is normalised by itself.

    Raises:
        ParamsError: a part has one example, and the model cannot be trained with one.
    """
    found = smallest(rows, batch_size, divided)
    if found >= ENOUGH or not has_batch_norm(model):
        return
    into = f"{rows} rows into batches" + (f" and these into {divided} parts each" if divided > 1 else "")
    where = f"train.batch_size {batch_size} divides {into}, the smallest of which has {found} example{'s' if found > 1 else ''}"
    sizes = range(1, min(rows, 2 * batch_size + ENOUGH * divided) + 1)
    better = [size for size in sizes if smallest(rows, size, divided) >= ENOUGH]
    nearest = min(better, key=lambda size: abs(size - batch_size), default=None)
    remedy = "train on more rows or in fewer parts" if nearest is None else f"set train.batch_size to {nearest}"
    if found == 1 and not _learns_from_one(model, shape):
        raise ParamsError(f"{where}, and this model's batch normalisation cannot train on one; {remedy}")
    print(f"train: {where}, whose mean and variance batch normalisation uses for all: the model may learn badly; {remedy}")


def smallest(rows: int, batch_size: int, divided: int) -> int:
    """How many examples the smallest part of a batch has; a process without a part takes one."""
    last = rows % batch_size or batch_size
    return max(1, min(batch_size, last, rows) // divided)


def _learns_from_one(model: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether torch normalises one example: it does where every normalised layer has more than one value of each channel."""
    weight = next(model.parameters())
    with torch.random.fork_rng(), torch.no_grad():
        try:
            deepcopy(model).train()(torch.zeros(1, *shape, device=weight.device))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            return False
    return True
