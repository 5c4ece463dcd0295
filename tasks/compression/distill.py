"""Distillation: a smaller model learns the probabilities of the trained one (Hinton, Vinyals & Dean 2015).

The smaller model is `compress.student`, any model of the catalogue.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Positive, Section

if TYPE_CHECKING:
    from torch import nn

    from tasks.exporting.subject import Subject


class Settings(Section):
    epochs: int = Field(ge=1, le=100_000, default=20)  # passes over the training split
    temperature: Positive = 4.0  # divides the logits of both models: the higher, the more the unlikely classes count
    label_weight: float = Field(
        ge=0, le=1, default=0.1
    )  # weight of the labels; 0 learns from the original's probabilities alone
    batch_size: int = Field(ge=1, default=64)  # examples per optimizer step
    learning_rate: Positive = 0.001  # learning rate of Adam


def shrink(settings: Settings, subject: "Subject") -> "nn.Module":
    """`compress.student`, trained on the train split with the original's logits as soft targets.

    Raises:
        ParamsError: the student has no fewer parameters than the original.
        TrainingError: the loss is not a finite number.
    """
    from tasks.core.errors import ParamsError
    from tasks.exporting.cost import parameters
    from tasks.learning.imitation import Imitation, imitate

    described = subject.trained
    student: nn.Module = subject.student.module.build(subject.student.settings, described.shape, len(described.classes))
    own, other = parameters(student)[0], parameters(subject.module)[0]
    if own >= other:
        raise ParamsError(
            f"compress.student: {subject.student.name} has {own:,} parameters and the trained {described.model.name} {other:,}; "
            "expected fewer: choose a smaller student"
        )
    training = Imitation(**settings.model_dump())
    imitate(student, subject.train_logits(), subject.train, subject.prepare, training=training, seed=subject.seed)
    return student
