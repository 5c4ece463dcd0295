"""Train one model to answer like another: distillation (Hinton, Vinyals & Dean 2015)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.contracts.splits import Split
from tasks.core.errors import TrainingError
from tasks.core.progress import Progress
from tasks.learning.batches import shuffled
from tasks.learning.inference import Preparation


@dataclass(frozen=True)
class Imitation:
    """How it is trained; the defaults are common choices."""

    epochs: int
    temperature: float = 4.0  # divides the logits of both: the higher, the more the unlikely classes count
    label_weight: float = 0.1  # weight of the cross-entropy with the labels; the rest is that of the imitation
    batch_size: int = 64
    learning_rate: float = 0.001  # Adam


def imitate(student: nn.Module, taught: Tensor, split: Split, prepare: Preparation, *, training: Imitation, seed: int) -> None:
    """Train `student` in place on a split and on the teacher's logits of it (N, K).

    A short loop of its own, because the targets here are two: the labels and the teacher's probabilities.

    Raises:
        TrainingError: the loss of a batch is not a finite number.
    """
    optimizer = torch.optim.Adam(student.parameters(), training.learning_rate)
    student.train()
    with Progress("compress", total=training.epochs, unit="epoch") as progress:
        for epoch in range(1, training.epochs + 1):
            total = 0.0
            for chosen in shuffled(len(split), seed, epoch).split(training.batch_size):
                logits = student(prepare(split.images[chosen]))
                loss = imitation_loss(logits, taught[chosen], split.labels[chosen], training.temperature, training.label_weight)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                total += len(chosen) * loss.item()
            if not math.isfinite(total):
                raise TrainingError(
                    f"the loss of the smaller model is not a finite number in epoch {epoch}; most often its learning_rate is too "
                    f"high: it is {training.learning_rate:g} (compress.methods); try a tenth of it"
                )
            progress.update(epoch, loss=total / len(split))
    student.eval()


def imitation_loss(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, label_weight: float) -> Tensor:
    """(1 - w) T² KL(softmax(teacher / T) || softmax(student / T)) + w cross-entropy (Hinton et al. 2015, section 2).

    Logits are (B, K), labels (B,). The factor T² keeps the gradients of both parts at the same scale for any temperature.
    """
    soft = functional.kl_div(
        functional.log_softmax(student / temperature, dim=1),
        functional.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - label_weight) * temperature**2 * soft + label_weight * functional.cross_entropy(student, labels)
