"""From stored uint8 images to what a model sees, and from a model to logits."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tasks.contracts.trained import MODEL, WEIGHTS, TrainedModel
from tasks.core.errors import ArtifactError
from tasks.core.files import repair

# Of a batch that is only predicted. The values, as float32 16 MiB, bound the memory where images are large.
BATCH_IMAGES, BATCH_VALUES = 250, 2**22


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


class Preparation:
    """Images (N, C, H, W) uint8 to float32 on the device of the model: scaled to [0, 1], then standardised per channel.

    Mean 0 and deviation 1 leave exactly the scaled values, which are those of torchvision's ToTensor.
    """

    def __init__(self, mean: Sequence[float], deviation: Sequence[float], device: "torch.device | str" = "cpu") -> None:
        self.device = torch.device(device)
        self._changes = any(mean) or any(value != 1 for value in deviation)
        self._mean = torch.tensor(mean, device=self.device).view(1, -1, 1, 1)
        self._deviation = torch.tensor(deviation, device=self.device).view(1, -1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        return self.standardise(self.scale(images))

    def scale(self, images: Tensor) -> Tensor:
        """Stored images on the device of the model, in [0, 1]."""
        return images.to(self.device).to(torch.float32).div_(255)

    def standardise(self, scaled: Tensor) -> Tensor:
        """In place."""
        return scaled.sub_(self._mean).div_(self._deviation) if self._changes else scaled


def batch_images(shape: Sequence[int]) -> int:
    """How many images of C, H, W a model is asked about at once."""
    return max(1, min(BATCH_IMAGES, BATCH_VALUES // math.prod(shape)))


def predict(
    model: nn.Module,
    images: Tensor,
    prepare: Preparation,
    index: Tensor | None = None,
    advance: Callable[[int], object] | None = None,
) -> Tensor:
    """Logits (N, K) float32 of stored images (N, C, H, W) uint8, in evaluation mode; only a batch at a time is copied.

    With `index` (M,) int64, logits (M, K) of the images at these positions. `advance` is told of each batch how many images it had.
    """
    size = batch_images(images.shape[1:])
    batches = torch.split(images, size) if index is None else (images[chosen] for chosen in torch.split(index, size))
    start, logits = 0, torch.empty(0)
    with evaluation_mode(model):
        for batch in batches:
            answered = model(prepare(batch))
            # Copied at once: small results that are kept between large ones would leave holes in the heap that nothing fits into.
            if start == 0:
                logits = torch.empty(len(images if index is None else index), *answered.shape[1:], dtype=answered.dtype)
            logits[start : start + len(batch)] = answered
            start += len(batch)
            if advance is not None:
                advance(len(batch))
    return logits


def rebuild(trained: TrainedModel, weights: dict[str, Tensor]) -> nn.Module:
    """The module that `model.json` describes, with its weights, in evaluation mode.

    Raises:
        ArtifactError: the weights are not those of the model described.
    """
    module: nn.Module = trained.model.module.build(trained.model.settings, trained.shape, len(trained.classes))
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(f"{WEIGHTS} does not fit {MODEL} ({error}): {repair('train')}") from None
    return module.eval()
