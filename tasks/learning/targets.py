"""Targets of a loss: labels (B,) int64, or soft targets (B, K), the share of each class, from mixing or from another model."""

import torch
from torch import Tensor
from torch.nn import functional


def precise(values: Tensor) -> Tensor:
    """In single precision at least: half precision has too few digits for differences from 1."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def shares(targets: Tensor, logits: Tensor) -> Tensor:
    """The share of each class (B, K), in the type of the logits but at least in single precision; labels become one-hot."""
    if not targets.is_floating_point():
        targets = functional.one_hot(targets, logits.shape[1])
    return targets.to(torch.promote_types(logits.dtype, torch.float32))
