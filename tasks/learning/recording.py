"""What every epoch is asked, for the history and for the diagnosis: clean answers on a fixed subset of train and on all of val."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.contracts.splits import Split
from tasks.contracts.trained import Dynamics
from tasks.learning.inference import Preparation, predict

# Up to so many rows all of train is recorded; beyond, as many as val has, but never fewer than this.
RECORDED_ROWS = 5000


def recorded_rows(train: int, val: int, seed: int) -> Tensor:
    """Positions (M,) int64 in train, sorted: all of them, or a random subset as large as val."""
    if train <= RECORDED_ROWS:
        return torch.arange(train)
    chosen = torch.randperm(train, generator=torch.Generator().manual_seed(seed))[: max(val, RECORDED_ROWS)]
    return chosen.sort().values


@dataclass(frozen=True)
class Scores:
    """After an epoch: the mean loss and the share that was right; val has None where it has no rows."""

    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None


@dataclass
class Recorder:
    """Asks the model after each epoch and keeps the answers."""

    train: Split
    val: Split
    index: Tensor
    prepare: Preparation
    loss: Callable[[Tensor, Tensor], Tensor]
    _margin: list[Tensor] = field(default_factory=list)
    _loss: list[Tensor] = field(default_factory=list)
    _correct: list[Tensor] = field(default_factory=list)
    _val_logits: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        everything = len(self.index) == len(self.train)
        self._images = self.train.images if everything else self.train.images[self.index]
        self._labels = self.train.labels if everything else self.train.labels[self.index]

    def record(self, model: nn.Module) -> Scores:
        logits = predict(model, self._images, self.prepare)
        correct = logits.argmax(1) == self._labels
        self._margin.append(margin(logits, self._labels).half())
        self._loss.append(functional.cross_entropy(logits, self._labels, reduction="none").half())
        self._correct.append(correct)
        val_logits = predict(model, self.val.images, self.prepare)
        self._val_logits.append(val_logits)
        return Scores(
            train_loss=self.loss(logits, self._labels).item(),
            train_accuracy=correct.double().mean().item(),
            val_loss=self.loss(val_logits, self.val.labels).item() if len(self.val) else None,
            val_accuracy=(val_logits.argmax(1) == self.val.labels).double().mean().item() if len(self.val) else None,
        )

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {name: getattr(self, name) for name in ("_margin", "_loss", "_correct", "_val_logits")}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def dynamics(self) -> Dynamics:
        return Dynamics(
            train_index=self.index,
            margin=torch.stack(self._margin),
            loss=torch.stack(self._loss),
            correct=torch.stack(self._correct),
            val_logits=torch.stack(self._val_logits),
        )


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The logit of the true class minus the largest other (N,): above 0 where the prediction is right (Pleiss et al. 2020, eq. 1)."""
    true = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (true - others.max(1, keepdim=True).values).squeeze(1)
