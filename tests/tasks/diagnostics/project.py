"""A small project on disk, as the stages before `evaluate` and `diagnose` leave it: a linear model with weights set by hand."""

from pathlib import Path

import torch
from torch import Tensor

from tasks.contracts.splits import Dataset, Split, SplitName, write_dataset, write_rows, write_split
from tasks.contracts.trained import Dynamics, Epoch, TrainedModel, write_dynamics, write_history, write_model
from tasks.core.components import Component
from tests.tasks.diagnostics.worlds import recorded as kept_of

CLASSES = ["left", "middle", "right"]


def image(bright: int, level: int) -> list[list[list[int]]]:
    """An image (1, 1, 3): pixel `bright` at `level`, the others dark."""
    return [[[level if pixel == bright else 0 for pixel in range(3)]]]


def split(pixels: list[int], labels: list[int], first_row: int, first_level: int = 100) -> Split:
    """Row i shows pixel pixels[i]; levels count up from `first_level`, so that no two images are equal."""
    images = [image(bright, first_level + position) for position, bright in enumerate(pixels)]
    return Split(
        torch.tensor(images, dtype=torch.uint8).reshape(-1, 1, 1, 3),
        torch.tensor(labels, dtype=torch.int64),
        torch.arange(first_row, first_row + len(labels)),
    )


def write_project(root: Path, splits: dict[SplitName, Split], val_logits: Tensor, gain: float = 4.0) -> Path:
    """Write every file; the model's logits are `gain` times the pixels in [0, 1], and it predicts the class of the bright one."""
    for name, rows in splits.items():
        write_split(root, name, rows)
    write_rows(root, [])
    counts = {name: torch.bincount(rows.labels, minlength=3).tolist() for name, rows in splits.items()}
    write_dataset(
        root,
        Dataset(
            name="bars", classes=CLASSES, shape=(1, 1, 3), counts=counts, mean=[0.0], deviation=[1.0], rows="lines of the test"
        ),
    )
    epochs, recorded = len(val_logits), len(splits["train"])
    model = TrainedModel(
        model=Component("tasks.models").choose({"name": "linear"}),
        shape=(1, 1, 3),
        classes=CLASSES,
        mean=[0.0],
        deviation=[1.0],
        epochs=epochs,
        chosen_epoch=epochs,
        chosen_by="last epoch",
    )
    write_model(root, model, {"1.weight": gain * torch.eye(3), "1.bias": torch.zeros(3)})
    write_history(root, [Epoch(epoch + 1, epoch + 1, 0.01, 1.0, 1.0, 0.5, 1.0, 0.5) for epoch in range(epochs)])
    unknown = torch.zeros(epochs, recorded, dtype=torch.float16)
    kept, half = kept_of(val_logits.numpy(), splits["val"].labels.numpy(), seed=0)
    answered = (half, kept.loss, kept.scaled_loss, kept.correct)
    tensors = (torch.from_numpy(array) for array in answered)
    write_dynamics(root, Dynamics(torch.arange(recorded), unknown, unknown + 1, unknown == 0, *tensors))
    return root
