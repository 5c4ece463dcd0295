"""Pairs of the examples of a batch and what each of the two counts; for mixup and cutmix."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Pairs:
    """What is drawn for a batch: each example's partner (B,) int64, the share that an example keeps, and a place in [0, 1)²."""

    partner: Tensor
    share: float
    across: float
    down: float


def draw(rows: int, alpha: float, probability: float, generator: Generator) -> Pairs:
    """The share is drawn from Beta(alpha, alpha) by inverting its distribution function; it is 1 in a batch that is not mixed.

    torch's own Beta distribution draws from the global generator alone.
    """
    from scipy.special import betaincinv

    happens, level, across, down = torch.rand(4, generator=generator, device=generator.device, dtype=torch.float64).tolist()
    partner = torch.randperm(rows, generator=generator, device=generator.device)
    share = float(betaincinv(alpha, alpha, level)) if happens < probability else 1.0
    return Pairs(partner, share, across, down)


def soft(labels: Tensor, partners: Tensor, share: float, classes: int) -> Tensor:
    """Targets (B, K) float32: `share` for the label (B,) and the rest for the partner's."""
    first, second = (functional.one_hot(each, classes).to(torch.float32) for each in (labels, partners))
    return first * share + second * (1 - share)
