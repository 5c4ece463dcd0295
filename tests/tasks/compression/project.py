"""A small trained project on disk, as the stages before `compress` leave it: bright corners, learned by a small network."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tasks.contracts.splits import Dataset, Split, write_dataset, write_split
from tasks.contracts.trained import TrainedModel, write_model
from tasks.core.components import Choice, Component
from tasks.exporting.subject import Subject

CLASSES = ["left", "middle", "right"]
SHAPE = (1, 4, 6)
MEAN, DEVIATION = [0.3], [0.25]
MODELS = Component("tasks.models")
MLP = {"name": "mlp", "hidden": [12, 8], "dropout": 0.1}


def split(rows: int, seed: int, first_row: int = 0) -> Split:
    """Noise, in which the third of the image that the label names is brighter."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 3
    images = torch.randint(0, 150, (rows, *SHAPE), dtype=torch.uint8, generator=random)
    for position, label in enumerate(labels.tolist()):
        images[position, :, :, 2 * label : 2 * label + 2] += 55
    return Split(images, labels, torch.arange(first_row, first_row + rows))


def fitted(choice: Choice, train: Split) -> nn.Module:
    """The model after a few steps of Adam on all of train."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = choice.module.build(choice.settings, SHAPE, len(CLASSES))
        optimizer = torch.optim.Adam(module.parameters(), 0.02)
        images = (train.images.float() / 255 - MEAN[0]) / DEVIATION[0]
        for _ in range(60):
            functional.cross_entropy(module(images), train.labels).backward()
            optimizer.step()
            optimizer.zero_grad()
    return module.eval()


def write_project(root: Path, model: dict[str, Any] | None = None, tests: int = 300) -> Path:
    """Write the model and the splits."""
    train, test = split(240, 1), split(tests, 2, 240)
    choice = MODELS.choose(model or MLP)
    for name, rows in (("train", train), ("val", split(0, 3)), ("test", test)):
        write_split(root, name, rows)  # type: ignore[arg-type]
    counts = {name: [rows // 3] * 3 for name, rows in (("train", 240), ("val", 0), ("test", tests))}
    write_dataset(
        root,
        Dataset(name="thirds", classes=CLASSES, shape=SHAPE, counts=counts, mean=MEAN, deviation=DEVIATION, rows="none"),
    )
    write_model(root, described(choice), fitted(choice, train).state_dict())
    return root


def described(choice: Choice) -> TrainedModel:
    return TrainedModel(model=choice, shape=SHAPE, classes=CLASSES, mean=MEAN, deviation=DEVIATION)


def subject(
    model: dict[str, Any] | None = None, student: dict[str, Any] | None = None, module: nn.Module | None = None
) -> Subject:
    """The same in memory; `module` in place of the fitted one."""
    train, choice = split(240, 1), MODELS.choose(model or MLP)
    made = fitted(choice, train) if module is None else module.eval()
    return Subject(described(choice), made, train, MODELS.choose(student or {"name": "linear"}), seed=0, threads=1)


def accuracy(module: nn.Module, rows: Split) -> float:
    """Of a module that takes prepared images."""
    images = (rows.images.float() / 255 - MEAN[0]) / DEVIATION[0]
    with torch.inference_mode():
        return float((module(images).argmax(1) == rows.labels).double().mean())
