"""The training loop, whole on one page: forward, loss, backward, step, zero_grad."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

from tasks.contracts.trained import Epoch
from tasks.core.errors import TrainingError
from tasks.core.progress import Progress
from tasks.learning.batches import Batches
from tasks.learning.penalties import Penalty
from tasks.learning.recording import Recorder
from tasks.learning.schedule import Schedule
from tasks.learning.stopping import Stopper


@dataclass(frozen=True)
class Learner:
    """All that one training needs; `tasks/train.py` builds it from the parameters."""

    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    penalty: Penalty | None
    optimizer: Optimizer
    schedule: Schedule
    batches: Batches
    recorder: Recorder
    stopper: Stopper


def fit(learner: Learner, epochs: int) -> list[Epoch]:
    """Train in place for at most `epochs` epochs; return one row per epoch.

    Raises:
        TrainingError: the loss of a batch is not a finite number.
    """
    model, optimizer, batches = learner.model, learner.optimizer, learner.batches
    history: list[Epoch] = []
    val_losses: list[float] = []
    step = 0
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    with Progress("train", total=epochs, unit="epoch", steps=len(batches)) as progress:
        for epoch in range(1, epochs + 1):
            model.train()
            for images, labels in batches.epoch(epoch):
                factor = learner.schedule(step, val_losses)
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * factor
                logits = model(images)
                loss = learner.loss(logits, labels)
                (loss if learner.penalty is None else loss + learner.penalty()).backward()
                optimizer.step()
                optimizer.zero_grad()

                step += 1
                if not math.isfinite(batch_loss := loss.item()):
                    raise TrainingError(_diverged(batch_loss, step, epoch, step - (epoch - 1) * len(batches), optimizer))
                progress.step()

            learning_rate = optimizer.param_groups[0]["lr"]
            scores = learner.recorder.record(model)
            if not all(math.isfinite(loss) for loss in (scores.train_loss, scores.val_loss) if loss is not None):
                raise TrainingError(_diverged(scores.train_loss, step, epoch, len(batches), optimizer))
            history.append(Epoch(epoch, step, learning_rate, batch_loss, **asdict(scores)))
            progress.update(epoch, **_summary(history[-1]))
            if scores.val_loss is not None:
                val_losses.append(scores.val_loss)
            if learner.stopper.should_stop(epoch, scores.val_loss, model):
                break
    return history


def _summary(epoch: Epoch) -> dict[str, float | None]:
    """What is shown of an epoch."""
    return {
        "loss": epoch.train_loss,
        "accuracy": epoch.train_accuracy,
        "val_loss": epoch.val_loss,
        "val_accuracy": epoch.val_accuracy,
    }


def _diverged(loss: float, step: int, epoch: int, batch: int, optimizer: Optimizer) -> str:
    return (
        f"the loss is {loss} at step {step} (epoch {epoch}, batch {batch}); expected a finite number. "
        f"Most often the learning rate is too high: it is {optimizer.param_groups[0]['lr']:g} (train.optimizer.learning_rate); "
        "try a tenth of it"
    )
