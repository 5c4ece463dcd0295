"""From stored uint8 images to what a model sees, and from a model to logits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tasks.contracts.trained import MODEL, WEIGHTS, TrainedModel
from tasks.core.errors import ArtifactError
from tasks.core.files import repair


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
    """Images (N, C, H, W) uint8 to float32: scaled to [0, 1], then standardised per channel.

    Mean 0 and deviation 1 leave exactly the scaled values, which are those of torchvision's ToTensor.
    """

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        self.standardise = any(mean) or any(value != 1 for value in deviation)
        self.mean = torch.tensor(mean).view(1, -1, 1, 1)
        self.deviation = torch.tensor(deviation).view(1, -1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        scaled = images.to(torch.float32).div_(255)
        return scaled.sub_(self.mean).div_(self.deviation) if self.standardise else scaled


def predict(model: nn.Module, images: Tensor, prepare: Preparation, batch_size: int = 1000) -> Tensor:
    """Logits (N, K) float32 of stored images (N, C, H, W) uint8, in evaluation mode; only a batch at a time becomes float."""
    with evaluation_mode(model):
        return torch.cat([model(prepare(batch)) for batch in torch.split(images, batch_size)])


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
