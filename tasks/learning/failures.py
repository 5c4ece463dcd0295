"""A training that cannot succeed says so at once: where it stands, what is wrong, and the likely remedy."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import starmap

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tasks.core.errors import TrainingError
from tasks.learning.position import Position
from tasks.learning.recording import Scores
from tasks.learning.schedule import current_rate

# A loss this many times the first batch's (or than 1, where that was smaller) does not come back.
EXPLODED = 1e4
LOWERED = 0.01  # share of the first learning rate below which weights need not change
LOWER_RATE = "Most often the learning rate is too high: it is {rate:g} (train.optimizer.learning_rate); try a tenth of it"


class Watch:
    """Looks at each batch's loss and at each epoch's weights.

    Args:
        model: the one that is trained.
        optimizer: the one that changes its weights.
        labels: (N,) int64, of the images on which an epoch's accuracy on train is measured.
        skips_steps: whether steps may be left out, as the scaling of 16-mixed does for as long as its gradients overflow.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, labels: Tensor, skips_steps: bool = False) -> None:
        self.model, self.optimizer = model, optimizer
        self.largest_class = labels.bincount().max().item() / len(labels)
        self.skips_steps = skips_steps
        self._before: list[Tensor] = []

    def begin_epoch(self, at: Position) -> None:
        """Remember the weights, unless the epoch is continued in its middle."""
        self._before = [] if at.batch else [weight.detach().clone() for weight in self._trained()]

    def batch(self, at: Position) -> None:
        """Raise a TrainingError where the batch's loss is not finite or has exploded."""
        if not math.isfinite(at.loss):
            raise TrainingError(f"the loss is {at.loss} at {_where(at)}; expected a finite number. {self._lower_rate()}")
        if at.loss > EXPLODED * max(at.first_loss, 1.0):
            raise TrainingError(
                f"the loss exploded from {at.first_loss:.4g} in the first batch to {at.loss:.4g} at {_where(at)}. {self._lower_rate()}"
            )

    def end_epoch(self, at: Position, scores: Scores) -> None:
        """Raise a TrainingError where the epoch's losses are not finite, or where at most biases have changed."""
        for name, loss in (("train", scores.train_loss), ("val", scores.val_loss)):
            if loss is not None and not math.isfinite(loss):
                raise TrainingError(
                    f"the loss on {name} is {loss} after {_where(at)}; expected a finite number. {self._lower_rate()}"
                )
        if self._is_stuck(at, scores):
            raise TrainingError(
                f"at most biases have changed in epoch {at.epoch} ({at.batch} batches), although nothing has been learned yet: every "
                "other gradient is zero or too small to count. Most often all units of the last hidden layer are dead (try a smaller "
                "train.optimizer.learning_rate, or another seed) or the learning rate is too small"
            )

    def _is_stuck(self, at: Position, scores: Scores) -> bool:
        """Whether the epoch changed no weight, in a run that has neither learned anything nor come to the end of its schedule.

        Where every unit of the last hidden layer is dead, the biases behind it still learn how frequent the classes are, and decoupled
        weight decay still shrinks the weights. Units that are dead in an earlier layer alone are not told from others.
        """
        if self.skips_steps or not self._before:
            return False
        if current_rate(self.optimizer) < LOWERED * self.optimizer.param_groups[0]["initial_lr"]:
            return False
        pairs = list(zip(self._before, self._trained(), strict=True))
        if all(starmap(_same, pairs)):
            return scores.train_loss >= at.first_loss
        accuracies = [*(epoch.train_accuracy for epoch in at.history), scores.train_accuracy]
        matrices = [(before, weight) for before, weight in pairs if weight.dim() > 1]
        return max(accuracies) <= self.largest_class and bool(matrices) and all(starmap(_only_shrunk, matrices))

    def _trained(self) -> list[nn.Parameter]:
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    def _lower_rate(self) -> str:
        return LOWER_RATE.format(rate=current_rate(self.optimizer))


def _same(before: Tensor, weight: nn.Parameter) -> bool:
    return _whole(before).equal(_whole(weight.detach()))


def _only_shrunk(before: Tensor, weight: nn.Parameter) -> bool:
    """Whether a weight is what it was, or a multiple of that."""
    before, after = (_whole(tensor.detach()) for tensor in (before, weight))
    factor = (before * after).sum() / (before * before).sum()
    return before.equal(after) or torch.allclose(after, before * factor, rtol=1e-4, atol=0)


def _whole(tensor: Tensor) -> Tensor:
    """One that is divided among processes, gathered in each: of its own part alone, each could come to another answer."""
    gather: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


@contextmanager
def memory(at: Position | None = None) -> Iterator[None]:
    """Say where memory ran out, and what needs less of it; without a position, while the model was made."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0].partition(". ")[0]
        if at is None:
            raise TrainingError(
                f"out of memory before the first step: {reason}. The model itself does not fit (train.model); a smaller one does, or "
                "several devices that divide it (train.strategy: fsdp)"
            ) from error
        raise TrainingError(
            f"out of memory at step {at.step + 1} (epoch {at.epoch}, batch {at.batch + 1}): {reason}. "
            "A smaller train.batch_size needs less; train.accumulate: 2 computes each batch in two halves, which is the same step "
            "but for batch norm"
        ) from error


def _where(at: Position) -> str:
    return f"step {at.step} (epoch {at.epoch}, batch {at.batch})"


def _out_of_memory(error: BaseException) -> bool:
    """torch reports it for the CPU as a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
