"""What a faster form of the step gains: a measurement, which differs from run to run and therefore never enters an output."""

import csv
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from tasks.core.files import whole

if TYPE_CHECKING:
    from tasks.learning.loop import Learner

GAIN = Path("results/step_gain.csv")
TURNS, FEWEST_TURNS, WARM_UP_TURNS = 20, 3, 3
SECONDS = 3.0  # after which no further turn is measured, once there are the fewest
TURN_SECONDS = 0.02  # of each turn, at least: a single step may be shorter than an interruption by another process


@dataclass(frozen=True)
class Gain:
    """The time of a step in a form, as a share of that in plain 32-true: the median over `turns` and their quartiles.

    `loss_difference` is the largest difference between the two losses of the same batch with the same weights.
    """

    form: str
    turns: int
    ratio: float
    quartile_low: float
    quartile_high: float
    loss_difference: float

    def __str__(self) -> str:
        return (
            f"train: a step with {self.form} took {self.ratio:.2f} of the time of 32-true here ({self.quartile_low:.2f} to "
            f"{self.quartile_high:.2f}, quartiles of {self.turns} turns); the loss of the same batch differs by at most "
            f"{self.loss_difference:.2g}"
        )


def measure(
    form: str,
    plain: "Learner",
    chosen: "Learner",
    weights: Mapping[str, Tensor],
    *,
    turns: int = TURNS,
    seconds: float = SECONDS,
) -> Gain:
    """Take the same steps with both learners, which take turns; each turn begins with the same weights.

    Both learners are spent afterwards. Dropout is off in both, because compiled code draws other numbers.

    Args:
        form: how the report names what was chosen.
        plain: the step in 32-true, contiguous and eager.
        chosen: the step that was trained with.
        weights: from which each turn begins.
        turns: how many of each learner are measured at most.
        seconds: after which no further turn is begun, once there are three.
    """
    for learner in (plain, chosen):
        learner.model.train()
        for module in learner.model.modules():
            if isinstance(module, _DropoutNd):
                module.p = 0.0
    ratios, differences = [], []
    deadline, steps = float("inf"), 1
    for number, (images, targets) in zip(range(-WARM_UP_TURNS, turns), _full_batches(plain), strict=False):
        if number == 0:
            deadline = time.monotonic() + seconds
        if number >= FEWEST_TURNS and time.monotonic() > deadline:
            break
        order = (plain, chosen) if number % 2 else (chosen, plain)
        found = {id(learner): _turn(learner, weights, images, targets, steps) for learner in order}
        (plain_seconds, plain_loss), (chosen_seconds, chosen_loss) = found[id(plain)], found[id(chosen)]
        differences.append(abs(chosen_loss - plain_loss))
        if number < 0:
            steps = max(steps, math.ceil(TURN_SECONDS / plain_seconds))
        else:
            ratios.append(chosen_seconds / plain_seconds)
    low, median, high = (float(value) for value in np.quantile(ratios, [0.25, 0.5, 0.75]))
    return Gain(form, len(ratios), median, low, high, max(differences))


def _full_batches(learner: "Learner") -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch, without last batches that are smaller: compiled code would be compiled again for them."""
    batches = learner.batches
    size = min(batches.batch_size, len(batches.split))
    return (batch for batch in chain.from_iterable(map(batches.epoch, count(1))) if len(batch[0]) == size)


def _turn(
    learner: "Learner", weights: Mapping[str, Tensor], images: Tensor, targets: Tensor, steps: int
) -> tuple[float, float]:
    """Seconds of a step, and the loss of the first of so many, which has these weights."""
    learner.model.load_state_dict(weights)
    torch.manual_seed(0)  # of what draws beside dropout
    if images.is_cuda:
        torch.cuda.synchronize()
    began = time.perf_counter()
    losses = [learner.step(images, targets).item() for _ in range(steps)]
    if images.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / steps, losses[0]


def write_gain(root: Path, gain: Gain) -> None:
    """A table with one row."""
    with whole(root / GAIN) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Gain))
        writer.writerow(astuple(gain))
