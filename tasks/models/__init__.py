"""The models: one file each, one line in the registry.

To add one: a file here, its name in `ModelName` and its section in tasks/contracts/params/train.py, a line below.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tasks.contracts.errors import ArtifactError
from tasks.contracts.files import repair
from tasks.contracts.params.train import Model, ModelName
from tasks.contracts.trained import MODEL, WEIGHTS
from tasks.models import cnn, linear, mlp

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.contracts.trained import TrainedModel

Shape = tuple[int, int, int]  # C, H, W
Builder = Callable[[Any, Shape, int], "nn.Module"]  # the model's section, an image's shape, the number of classes

REGISTRY: dict[ModelName, Builder] = {
    "linear": linear.build,
    "mlp": mlp.build,
    "cnn": cnn.build,
}


def build(model: Model, shape: Shape, classes: int) -> "nn.Module":
    """A fresh module: images (N, C, H, W) float in, logits (N, K) out. Its first weights follow from torch's global seed.

    The linear model draws nothing else from that seed, so that `torch.manual_seed(0)` gives the textbook's weights.
    """
    return REGISTRY[model.name](getattr(model, model.name, None), shape, classes)


def rebuild(trained: "TrainedModel", weights: "dict[str, Tensor]") -> "nn.Module":
    """The module that `model.json` describes, with its weights, in evaluation mode.

    Raises:
        ArtifactError: the weights are not those of the model described.
    """
    module = build(trained.model, trained.shape, len(trained.classes))
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(f"{WEIGHTS} does not fit {MODEL} ({error}): {repair('train')}") from None
    return module.eval()
