"""The training loop, whole on one page: forward, loss, backward, step, zero_grad."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial, reduce
from operator import add
from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.optim import Optimizer

from tasks.contracts.trained import Epoch
from tasks.core.progress import Progress
from tasks.learning.averager import Averager
from tasks.learning.batches import Batches
from tasks.learning.checkpoint import Checkpoint
from tasks.learning.distributed import Group
from tasks.learning.failures import Watch, memory
from tasks.learning.gradients import Clip, Sharpness, buffers_kept
from tasks.learning.penalties import Penalty
from tasks.learning.position import Position
from tasks.learning.precision import Precision
from tasks.learning.recorded import RecordedStep
from tasks.learning.recording import Recorder
from tasks.learning.schedule import Schedule, current_rate, set_rates
from tasks.learning.stopping import Stopper


@runtime_checkable
class TwoPoints(Protocol):
    """An optimizer that computes gradients at other weights than those it is to be judged by, as schedule-free ones do."""

    def train(self) -> None: ...
    def eval(self) -> None: ...


@dataclass(frozen=True)
class Learner:
    """All that one training needs; `tasks/train.py` builds it from the parameters."""

    model: nn.Module
    forward: Callable[[Tensor], Tensor]  # the model, or what torch.compile made of it
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Optimizer
    schedule: Schedule
    batches: Batches
    recorder: Recorder
    stopper: Stopper
    penalty: Penalty | None = None
    accumulate: int = 1
    clip: Clip = field(default_factory=Clip)
    sharpness: Sharpness | None = None
    averager: Averager | None = None
    precision: Precision = field(default_factory=Precision)
    record_step: bool = False
    group: Group = field(default_factory=Group)

    def step(self, images: Tensor, targets: Tensor) -> Tensor:
        """One step of the optimizer on a batch: its mean loss, without penalties."""
        loss = self.gradients(images, targets)
        if self.sharpness is not None:
            with self.sharpness.ascended(self.model), buffers_kept(self.model):
                self.optimizer.zero_grad()
                self.gradients(images, targets)
        self.precision.unscale(self.optimizer)
        self.clip(self.model)
        self.precision.step(self.optimizer)
        self.optimizer.zero_grad()
        return loss

    def gradients(self, images: Tensor, targets: Tensor) -> Tensor:
        """Forward, loss and backward: for the whole batch at once, or for parts of it (here or elsewhere) that add up to the same."""
        losses = []
        for part, wanted, share, weight in self.group.parts(images, targets, self.accumulate):
            with self.precision.autocast():
                logits = self.forward(part)
            loss = self.loss(logits.float(), wanted)
            objective = loss if self.penalty is None else loss + self.penalty()
            self.precision.scale(objective if weight == 1 else objective * weight).backward()
            losses.append(loss.detach() if share == 1 else loss.detach() * share)
        return self.group.sum(reduce(add, losses))

    def settle(self) -> None:
        """Let DistributedDataParallel choose the order in which it adds gradients, as it does after its first backward pass.

        A run that continues from a checkpoint would have its first pass later. With three processes or more it would then add in
        another order, and end with other bits, than a run that was not interrupted.
        """
        if self.group.size == 1:
            return
        self.model.train()
        with buffers_kept(self.model):
            self.gradients(*next(self.batches.epoch(1)))
        self.optimizer.zero_grad()

    @contextmanager
    def measured(self) -> Iterator[nn.Module]:
        """The model that is evaluated and kept: where weights are averaged, or divided, it is not the one that is trained."""
        if self.group.sharded is not None:
            yield self.group.sharded.whole()
        elif self.averager is not None and self.averager.started:
            yield self.averager.model
        elif isinstance(self.optimizer, TwoPoints):
            self.optimizer.eval()
            yield self.model
            self.optimizer.train()
        else:
            yield self.model


def fit(
    learner: Learner,
    epochs: int,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Sequence[Epoch]], None] | None = None,
) -> list[Epoch]:
    """Train in place for at most `epochs` epochs, from where the checkpoint was written; return one row per epoch.

    Raises:
        TrainingError: the model cannot learn. Its loss is not finite or explodes, no weight changes, or the memory does not suffice.
    """
    model, optimizer, batches = learner.model, learner.optimizer, learner.batches
    step = RecordedStep(learner.step, model, optimizer) if learner.record_step else learner.step
    at = checkpoint.resumed(learner) if checkpoint else Position()
    watch = Watch(model, optimizer, learner.recorder.labels, skips_steps=learner.precision.scaler.is_enabled())
    with Progress("train", total=epochs, unit="epoch", steps=len(batches), done=at.epoch - 1) as progress, memory(at):
        learner.settle()
        while at.epoch <= epochs:
            model.train()
            watch.begin_epoch(at)
            for images, targets in batches.epoch(at.epoch, start=at.batch):
                set_rates(optimizer, learner.schedule(at.step, at.val_losses))
                learner.group.begin_step(at.step)
                at.stepped(step(images, targets).item())
                watch.batch(at)
                if learner.averager is not None:
                    learner.averager.update(model, at.step)
                if checkpoint is not None:
                    checkpoint.save_if_due(learner, at)
                progress.step()

            with learner.measured() as measured:
                scores = learner.group.of_first(partial(learner.recorder.record, measured))
                watch.end_epoch(at, scores)
                at.ended(Epoch(at.epoch, at.step, current_rate(optimizer), at.loss, **asdict(scores)))
                progress.update(at.epoch - 1, **_shown(at.history[-1]))
                if on_epoch is not None:
                    on_epoch(at.history)
                if learner.stopper.should_stop(at.epoch - 1, scores.val_loss, measured):
                    break
    return at.history


def _shown(epoch: Epoch) -> dict[str, float | None]:
    """What is shown of an epoch."""
    return {
        "loss": epoch.train_loss,
        "accuracy": epoch.train_accuracy,
        "val_loss": epoch.val_loss,
        "val_accuracy": epoch.val_accuracy,
    }
