"""What a method of making a model smaller starts from."""

from dataclasses import dataclass

from torch import Tensor, nn

from tasks.contracts.splits import Split
from tasks.contracts.trained import TrainedModel
from tasks.core.components import Choice
from tasks.learning.inference import Preparation, predict


@dataclass(frozen=True)
class Subject:
    """The trained model and the data that it was trained on.

    `module` is in evaluation mode; a method works on a copy of it.
    """

    trained: TrainedModel
    module: nn.Module
    train: Split
    student: Choice  # of tasks.models
    seed: int
    threads: int

    @property
    def prepare(self) -> Preparation:
        return Preparation(self.trained.mean, self.trained.deviation)

    def train_logits(self) -> Tensor:
        """What the model says of every training image: (N, K) float32."""
        return predict(self.module, self.train.images, self.prepare)
