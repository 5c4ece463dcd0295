"""What is done with gradients between backward and step: added up over parts of a batch, clipped, taken where the loss is sharpest."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm


def parts(images: Tensor, targets: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor, float]]:
    """The batch in `count` parts that are as equal as can be, each with its share of the examples."""
    if count == 1:
        yield images, targets, 1.0
        return
    for part, wanted in zip(images.tensor_split(count), targets.tensor_split(count), strict=True):
        if len(part):
            yield part, wanted, len(part) / len(images)


@dataclass(frozen=True)
class Clip:
    """Bounds of the gradient: of the norm of all of it (Pascanu et al. 2013), of each of its values, or of neither."""

    norm: float | None = None
    value: float | None = None

    def __call__(self, model: nn.Module) -> None:
        if self.norm is not None:
            clip_grad_norm_(model.parameters(), self.norm)
        if self.value is not None:
            clip_grad_value_(model.parameters(), self.value)


@dataclass(frozen=True)
class Sharpness:
    """Sharpness-aware minimisation (Foret et al. 2021): the step follows the gradient of the worst weights within a radius."""

    radius: float

    @contextmanager
    def ascended(self, model: nn.Module) -> Iterator[None]:
        """Move the weights along their gradient to the edge of the radius; put them back, to the bit, when the block ends."""
        pairs = [(weight, weight.grad) for weight in model.parameters() if weight.grad is not None]
        kept = [weight.detach().clone() for weight, _ in pairs]
        with torch.no_grad():
            scale = self.radius / (get_total_norm([gradient for _, gradient in pairs]) + 1e-12)
            for weight, gradient in pairs:
                weight.add_(gradient * scale)
        yield
        with torch.no_grad():
            for (weight, _), before in zip(pairs, kept, strict=True):
                weight.copy_(before)


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put the buffers of the model, such as the running statistics of batch normalisation, back when the block ends."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    for buffer, value in before:
        buffer.copy_(value)
