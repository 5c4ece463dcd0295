"""What every epoch is asked, for the history and for the diagnosis: clean answers on a fixed subset of train and on all of val."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.contracts.splits import Split
from tasks.contracts.trained import Dynamics, RangeTest
from tasks.learning.class_order import BatchClasses
from tasks.learning.inference import Preparation, predict
from tasks.statistics.halves import stratified_halves
from tasks.statistics.random import HALVES, generator

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
    seed: int  # of the halves of val: each is temperature-scaled by the other
    range_test: RangeTest | None = None  # that has chosen the learning rate
    batch_classes: BatchClasses | None = None  # of the first epochs
    _train: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)  # of each epoch: margin, loss, correct
    _val: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)  # of each epoch: loss, scaled loss, correct

    def __post_init__(self) -> None:
        # A copy of the recorded images could be larger than the memory: they are read anew at each epoch.
        self._chosen = None if len(self.index) == len(self.train) else self.index
        self.labels = self.train.labels if self._chosen is None else self.train.labels[self._chosen]
        self._half = stratified_halves(self.val.labels.numpy(), generator(self.seed, HALVES))

    def record(self, model: nn.Module) -> Scores:
        logits = predict(model, self.train.images, self.prepare, self._chosen)
        val_logits = predict(model, self.val.images, self.prepare)
        correct = logits.argmax(1) == self.labels
        scores = Scores(
            train_loss=self.loss(logits, self.labels).item(),
            train_accuracy=correct.double().mean().item(),
            val_loss=self.loss(val_logits, self.val.labels).item() if len(self.val) else None,
            val_accuracy=(val_logits.argmax(1) == self.val.labels).double().mean().item() if len(self.val) else None,
        )
        losses = functional.cross_entropy(logits, self.labels, reduction="none")
        self._train.append((margin(logits, self.labels).half(), losses.half(), correct))
        self._val.append(self._answers(val_logits, scores.val_loss))
        return scores

    def _answers(self, logits: Tensor, loss: float | None) -> tuple[Tensor, Tensor, Tensor]:
        """Log-loss, temperature-scaled log-loss and correctness (V,): unknown where the mean loss is no finite number."""
        if loss is None or not math.isfinite(loss):
            unknown = torch.full((len(self.val),), math.nan, dtype=torch.float64)
            return unknown, unknown, unknown > 0
        from tasks.statistics.answers import answers

        found = answers(logits.numpy(), self.val.labels.numpy(), self._half)
        return torch.from_numpy(found.loss), torch.from_numpy(found.scaled_loss), torch.from_numpy(found.correct)

    def state_dict(self) -> dict[str, Any]:
        return {"train": self._train, "val": self._val, "range_test": asdict(self.range_test) if self.range_test else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._train, self._val = state["train"], state["val"]
        self.range_test = RangeTest(**state["range_test"]) if state["range_test"] else None

    def dynamics(self) -> Dynamics:
        """What was recorded of the epochs so far."""
        train_margin, loss, correct = (torch.stack(column) for column in zip(*self._train, strict=True))
        val_loss, val_scaled_loss, val_correct = (torch.stack(column) for column in zip(*self._val, strict=True))
        return Dynamics(
            train_index=self.index,
            margin=train_margin,
            loss=loss,
            correct=correct,
            val_half=torch.from_numpy(self._half),
            val_loss=val_loss,
            val_scaled_loss=val_scaled_loss,
            val_correct=val_correct,
            batch_classes=None if self.batch_classes is None else torch.tensor(self.batch_classes, dtype=torch.float64),
            **self._tested(),
        )

    def _tested(self) -> dict[str, Tensor]:
        tested = self.range_test
        if tested is None:
            return {}
        columns = {"rates": tested.rates, "losses": tested.losses, "chosen": [tested.chosen]}
        return {f"range_test_{name}": torch.tensor(values, dtype=torch.float64) for name, values in columns.items()}


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The logit of the true class minus the largest other (N,): above 0 where the prediction is right (Pleiss et al. 2020, eq. 1)."""
    true = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (true - others.max(1, keepdim=True).values).squeeze(1)
