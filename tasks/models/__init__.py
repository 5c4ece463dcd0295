"""The models. To add one: a file here, a name in `ModelName` and its section in tasks/contracts/params/train.py, a line below."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tasks.contracts.params.train import Cnn, Mlp, Model, ModelName
from tasks.models import cnn, linear, mlp

if TYPE_CHECKING:
    from torch import nn

    from tasks.contracts.trained import TrainedModel

Shape = tuple[int, int, int]  # C, H, W
Builder = Callable[[Any, Shape, int], "nn.Module"]  # the model's section, an image's shape, the number of classes

REGISTRY: dict[ModelName, Builder] = {
    "linear": linear.build,
    "mlp": mlp.build,
    "cnn": cnn.build,
}


def section(model: Model) -> Mlp | Cnn | None:
    """The section of params.yaml that belongs to the chosen model, if it has one."""
    return getattr(model, model.name, None)


def build(model: Model, shape: Shape, classes: int) -> "nn.Module":
    """A fresh module: images (N, C, H, W) float in, logits (N, K) out. Its first weights follow from torch's global seed.

    The linear model draws nothing else from that seed, so that `torch.manual_seed(0)` gives the textbook's weights.
    """
    return REGISTRY[model.name](section(model), shape, classes)


def rebuild(trained: "TrainedModel", weights: "dict[str, Any]") -> "nn.Module":
    """The module that `model.json` describes, with its weights, in evaluation mode.

    Raises:
        ArtifactError: the weights are not those of the model described.
    """
    from tasks.contracts.errors import ArtifactError

    name: Any = trained.name
    settings = {"mlp": Mlp, "cnn": Cnn}.get(name)
    module = REGISTRY[name](settings.model_validate(trained.settings) if settings else None, trained.shape, len(trained.classes))
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(f"models/model.safetensors does not fit models/model.json: {error}; run `dvc repro train`") from None
    return module.eval()
