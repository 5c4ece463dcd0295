"""Models that are really trained, on pictures of which there are as many as wanted: what is true of them can be measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.splits import SPLITS, Arrays, Dataset, SplitName, write_dataset, write_rows, write_split
from tasks.core.settings import validate
from tasks.diagnose import measure
from tasks.diagnostics.measured import Measured
from tasks.train import Params, train

CLASSES, SIDE = 10, 8
DEFAULTS: dict[str, Any] = {
    "epochs": 20,
    "batch_size": 32,
    "model": {"name": "mlp", "hidden": [64]},
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "adam", "learning_rate": 0.003},
    "schedule": {"name": "constant"},
    "augmentation": {"name": "none"},
    "mixing": {"name": "none"},
    "averaging": {"name": "none"},
}


def pictures(n: int, seed: int, noise: float = 0.25) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 1, 8, 8) of ten smooth patterns, each shifted by up to a pixel and covered by noise; and their labels (N,).

    The patterns are always the same, so that two calls with different seeds draw from the same population.
    """
    patterns = np.random.default_rng(0).normal(size=(CLASSES, 3, 3)).repeat(3, axis=1).repeat(3, axis=2)[:, :SIDE, :SIDE]
    random = np.random.default_rng([seed, 1])
    labels = random.integers(0, CLASSES, n)
    shifts = random.integers(-1, 2, size=(n, 2))
    shown = np.stack([np.roll(patterns[label], tuple(shift), axis=(0, 1)) for label, shift in zip(labels, shifts, strict=True)])
    shown = 0.5 + 0.15 * shown + noise * random.normal(size=shown.shape)
    return (255 * shown.clip(0, 1)).astype(np.uint8)[:, None], labels


def splits(sizes: tuple[int, int, int], seed: int, noise: float = 0.25) -> dict[SplitName, Arrays]:
    """Train, val and test of these sizes, all drawn alike."""
    images, labels = pictures(sum(sizes), seed, noise)
    bounds = np.cumsum([0, *sizes])
    rows = np.arange(len(labels))
    return {
        name: Arrays(images[start:stop], labels[start:stop], rows[start:stop])
        for name, start, stop in zip(SPLITS, bounds[:-1], bounds[1:], strict=True)
    }


def trained(root: Path, data: dict[SplitName, Arrays], seed: int = 0, **settings: Any) -> Measured:
    """Write the splits into `root`, train there with these settings (see `DEFAULTS`), and measure as the stage diagnose does."""
    return trained_on(root, data, seed, settings, CLASSES)


def trained_on(root: Path, data: Mapping[SplitName, Arrays], seed: int, settings: Mapping[str, Any], classes: int) -> Measured:
    """The same for data with another number of classes."""
    write(root, data, classes)
    train(validate(Params, {"seed": seed, "threads": 1, "train": {**DEFAULTS, **settings}}), root)
    return measure(root, seed)


def write(root: Path, data: Mapping[SplitName, Arrays], classes: int) -> None:
    """Write the splits as `preprocess` does."""
    root.mkdir(parents=True, exist_ok=True)
    for name, rows in data.items():
        write_split(root, name, rows)
    write_rows(root, [])
    train_images = data["train"].images / 255
    write_dataset(
        root,
        Dataset(
            name="pictures",
            classes=[str(label) for label in range(classes)],
            shape=data["train"].images.shape[1:],
            counts={name: np.bincount(rows.labels, minlength=classes).tolist() for name, rows in data.items()},
            mean=train_images.mean(axis=(0, 2, 3)).tolist(),
            deviation=train_images.std(axis=(0, 2, 3)).tolist(),
            rows="pictures of the world",
        ),
    )
