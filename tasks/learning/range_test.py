"""The range test that makes a number of `learning_rate: auto` (Smith 2017, "Cyclical Learning Rates for Training Neural Networks").

A learner takes steps on the batches of train, in the run's own order, while the rate rises exponentially, until the smoothed loss
diverges. The chosen rate is a tenth of the one at which it was lowest. Range, divergence and choice are those of fastai's `lr_find`
(`minimum`); docs/decisions/a-tenth-of-the-lowest.md has the measurements that speak against the steepest descent and for so many steps.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from statistics import mean, pstdev

from torch import Tensor

from tasks.contracts.trained import RangeTest
from tasks.core.errors import TrainingError
from tasks.core.progress import Progress
from tasks.learning.failures import memory
from tasks.learning.loop import Learner
from tasks.learning.position import Position
from tasks.learning.schedule import set_rates

LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 400
# Rounded, so that the chosen one can be written into params.yaml, and is the same wherever powers differ in their last bits.
RATES = [float(f"{LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1)):.3g}") for step in range(STEPS)]
SMOOTHING = 0.9  # the weight of the losses before
DIVERGED = 4.0  # times the lowest smoothed loss
# The first steps, with rates below 1e-6, teach nothing: they show how much the loss differs from batch to batch.
SKIPPED = 40
SHARE = 0.1  # of the rate with the lowest smoothed loss: at that one the loss is about to rise


def range_test(learner: Learner) -> RangeTest:
    """Use up a learner whose optimizer was built with the rate 1; every process of a group finds the same rate.

    Raises:
        TrainingError: no rate lowers the loss, or the memory does not suffice.
    """
    losses = measure(learner)
    smoothed = smooth(losses)
    chosen = choose(losses, smoothed)
    print(
        f"train: learning rate {chosen:g}, chosen by a range test of {len(losses)} steps with rates from {RATES[0]:g} to "
        f"{RATES[len(losses) - 1]:g}"
    )
    return RangeTest(RATES[: len(losses)], smoothed, chosen)


def measure(learner: Learner) -> list[float]:
    """The loss on each batch before its step; it ends where the smoothed loss has diverged."""
    at, losses = Position(), list[float]()
    learner.model.train()
    with Progress("train", STEPS, "step of the range test") as progress, memory(at):
        for rate, (images, targets) in zip(RATES, endless(learner), strict=False):
            set_rates(learner.optimizer, rate)
            learner.group.begin_step(at.step)
            # The first process decides for all of them: they have to stop after the same step.
            at.stepped(learner.group.of_first(learner.step(images, targets).item))
            if not math.isfinite(at.loss):
                break
            losses.append(at.loss)
            progress.update(at.step, loss=at.loss)
            if has_diverged(smooth(losses)):
                break
    return losses


def endless(learner: Learner) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch after the other."""
    for epoch in itertools.count(1):
        yield from learner.batches.epoch(epoch)


def smooth(losses: Sequence[float]) -> list[float]:
    """The exponential moving average with its bias corrected, as Adam corrects that of its moments (Kingma & Ba 2015, section 3)."""
    average, smoothed = 0.0, []
    for count, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**count))
    return smoothed


def has_diverged(smoothed: Sequence[float]) -> bool:
    """Whether the last is four times the lowest; an imported loss may be negative, and then it has as far to rise."""
    lowest = min(smoothed)
    return smoothed[-1] > lowest + (DIVERGED - 1) * abs(lowest)


def choose(losses: Sequence[float], smoothed: Sequence[float]) -> float:
    """The rate, rounded to three digits.

    Raises:
        TrainingError: after the first steps, the smoothed loss is never lower than they are by more than their standard deviation.
    """
    first, later = losses[:SKIPPED], smoothed[SKIPPED:]
    if not later or min(later) >= mean(first) - pstdev(first):
        ended = f"at best {min(later):.4g}" if later else "it diverged at once"
        raise TrainingError(
            f"no learning rate from {LOWEST:g} to {HIGHEST:g} lowers the loss (train.optimizer.learning_rate: auto): in the first "
            f"steps of the range test it was {mean(first):.4g} (±{pstdev(first):.2g}), afterwards, smoothed, {ended}. State a number "
            "in place of auto; where no number helps either, look at the labels, at train.loss and at train.model"
        )
    return float(f"{SHARE * RATES[SKIPPED + later.index(min(later))]:.3g}")
