"""From stored uint8 images to what a model sees, and from a model to logits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def use_threads(threads: int) -> None:
    """Compute with so many CPU threads in the calling thread; the same number gives the same bits."""
    torch.set_num_threads(threads)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Without dropout and without gradients; the mode that was set before comes back."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def to_input(images: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Images (N, C, H, W) uint8 to float32: scaled to [0, 1], then standardised per channel.

    Mean 0 and deviation 1 leave exactly the scaled values, which are those of torchvision's ToTensor.
    """
    scaled = images.to(torch.float32).div_(255)
    if any(mean) or any(value != 1 for value in deviation):
        scaled -= torch.tensor(mean).view(1, -1, 1, 1)
        scaled /= torch.tensor(deviation).view(1, -1, 1, 1)
    return scaled


def logits(model: nn.Module, inputs: Tensor, batch_size: int = 1000) -> Tensor:
    """Logits (N, K) float32 of `inputs` (N, C, H, W) float32, in evaluation mode, batch by batch."""
    with evaluation_mode(model):
        parts = [model(batch) for batch in inputs.split(batch_size)] if len(inputs) else [model(inputs)]
        return torch.cat(parts)
