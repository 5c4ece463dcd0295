"""The losses: logits (N, K) and labels (N,) in, one number out, the mean over the batch."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from tasks.contracts.params.train import LossName

Loss = Callable[[Tensor, Tensor], Tensor]


def mse(logits: Tensor, labels: Tensor) -> Tensor:
    """Squared error against one-hot labels, the mean over examples and classes (Brier's score without the softmax)."""
    return functional.mse_loss(logits, functional.one_hot(labels, logits.shape[1]).to(logits.dtype))


REGISTRY: dict[LossName, Loss] = {
    "cross_entropy": functional.cross_entropy,  # nats
    "mse": mse,
}
