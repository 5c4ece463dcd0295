"""Splits of pictures with a model that is right on a share of them, for the checks that look at the data."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.findings import Finding
from tasks.contracts.splits import Arrays, SplitName
from tasks.core.components import Component
from tasks.diagnostics.measured import Measured
from tests.tasks.diagnostics.trained import CLASSES
from tests.tasks.diagnostics.worlds import LIMITS, measured

Splits = dict[SplitName, Arrays]


def pictured(data: Splits, seed: int = 0, accuracy: float = 0.85) -> Measured:
    """A model that is right on about `accuracy` of the images, and otherwise predicts any class."""
    frame = measured(np.zeros((1, 0, CLASSES), dtype=np.float32), np.zeros(0, dtype=np.int64), n=20)
    random = np.random.default_rng([seed, 5])

    def logits(labels: NDArray[np.int64]) -> NDArray[np.float32]:
        predicted = np.where(random.random(len(labels)) < accuracy, labels, random.integers(0, CLASSES, len(labels)))
        return np.eye(CLASSES, dtype=np.float32)[predicted]

    test, val = logits(data["test"].labels), logits(data["val"].labels)
    return replace(frame, train=data["train"], val=data["val"], test=data["test"], test_logits=test, val_logits=val, seed=seed)


def found(name: str, world: Measured, **options: float) -> Finding:
    """What the check of this name finds with these options."""
    choice = Component("tasks.diagnostics.checks").choose({"name": name, **options})
    finding: Finding = choice.module.check(world, LIMITS, choice.settings)
    return finding
