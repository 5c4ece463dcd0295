"""The trainings of a pilot: the recipe, the recipe with each remedy, and the recipe on parts of the training images."""

import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.errors import GoodfitError, ParamsError
from tasks.diagnostics.early_stopping import stopped_epoch
from tasks.pilot.remedies import Trial, changed
from tasks.statistics.arrays import Bools, Floats, Ints
from tasks.statistics.halves import stratified_halves
from tasks.statistics.random import HALVES, PARTS, generator

if TYPE_CHECKING:
    from tasks.contracts.splits import Dataset, Split
    from tasks.train import Params

RECIPE = "the recipe"
FRACTIONS = (0.125, 0.25, 0.5)  # of the training images; each is a part of the next
SMALLEST = 40  # validation images


@dataclass(frozen=True, eq=False)
class Kept:
    """What a training answers on validation, for each seed and image (S, V): the kept epoch's loss in nats and whether it is correct.

    `best_loss` is that of the epoch that the other half of validation would choose, whatever is kept.
    """

    loss: Floats
    correct: Bools
    best_loss: Floats


@dataclass(frozen=True)
class Training:
    """One thing to train for every seed."""

    name: str
    params: "Params"
    fraction: float = 1.0  # of the training images
    replayed: bool = False  # on the epochs of the recipe, which are the same: it only keeps another of them
    is_remedy: bool = False

    def __str__(self) -> str:
        return self.name if self.fraction == 1 else f"the recipe on {self.fraction:g} of the training images"


def planned(params: "Params", tried: Sequence[Trial]) -> list[Training]:
    """The recipe first, then the remedies, then the parts of the data."""
    with_remedies = [
        Training(remedy.name, changed(params, remedy.changes), replayed=remedy.replayed, is_remedy=True)
        for remedy in tried
        if not remedy.unused
    ]
    return [Training(RECIPE, params), *with_remedies, *(Training(f"{part:g}", params, part) for part in FRACTIONS)]


def run(
    trainings: Sequence[Training], seeds: Sequence[int], splits: "tuple[Dataset, Split, Split]", advance: Callable[[], object]
) -> tuple[dict[str, Kept], dict[str, str]]:
    """Train everything with every seed, in this process; what was kept of each by its name, and why others failed.

    With one seed all trainings see the same first weights and order of batches as far as their parameters allow, so that their
    difference is that of the remedy. The seeds also draw the parts of the data. Test images are not read.

    Raises:
        ParamsError: there are too few validation images, or too few training images for the smallest part.
        GoodfitError: the recipe itself fails, on all of the data or on a part; the message says with which seed.
    """
    require_enough(splits)
    dataset, train, val = splits
    half = stratified_halves(val.labels.numpy(), generator(seeds[0], HALVES))
    found: dict[str, list[tuple[Floats, Bools, Floats]]] = {training.name: [] for training in trainings}
    failed: dict[str, str] = {}
    for seed in seeds:
        of_recipe: tuple[Floats, Bools] | None = None
        for training in [one for one in trainings if one.name not in failed]:
            part = dataset, _part(train, training.fraction, seed), val
            try:
                recorded = of_recipe if training.replayed and of_recipe else _recorded(training.params, seed, part)
            except GoodfitError as error:
                if not training.is_remedy:
                    raise type(error)(f"{training} with seed {seed}: {error}") from error
                failed[training.name] = f"it failed with seed {seed}: {error}"
                continue
            of_recipe = of_recipe or recorded  # the recipe comes first
            found[training.name].append(_kept(training.params, recorded, half))
            advance()
    done = {name: answers for name, answers in found.items() if name not in failed}
    return {name: Kept(*map(np.stack, zip(*answers, strict=True))) for name, answers in done.items()}, failed


def require_enough(splits: "tuple[Dataset, Split, Split]") -> None:
    """Raise a ParamsError where there are too few images for a pilot."""
    dataset, train, val = splits
    if len(val) < SMALLEST:
        raise ParamsError(
            f"the validation set has {len(val)} images; a pilot needs {SMALLEST} or more: raise preprocess.val_fraction"
        )
    if len(train) * FRACTIONS[0] < len(dataset.classes):
        raise ParamsError(
            f"there are {len(train)} training images of {len(dataset.classes)} classes; a pilot trains on an eighth of them, and needs "
            "one of each class"
        )


def _kept(params: "Params", recorded: tuple[Floats, Bools], half: Bools) -> tuple[Floats, Bools, Floats]:
    """The fields of `Kept` of one training, each (V,).

    What is chosen by validation is chosen on one half for the answers on the other (cross-fitting), as a choice on the same images
    would flatter it. It is chosen by the log-loss, also where a recipe with early stopping watches another loss.
    """
    loss, correct = recorded
    stopping = params.train.early_stopping
    kept, best = np.full(len(half), len(loss) - 1), np.empty(len(half), dtype=np.int64)
    for score in (half, ~half):
        by_epoch = loss[:, ~score].mean(axis=1)
        best[score] = by_epoch.argmin()
        if stopping.enabled:
            kept[score] = stopped_epoch(by_epoch, stopping.patience, stopping.min_delta)
    images = np.arange(len(half))
    return loss[kept, images], correct[kept, images], loss[best, images]


def _recorded(params: "Params", seed: int, splits: "tuple[Dataset, Split, Split]") -> tuple[Floats, Bools]:
    """Log-loss (E, V) and correctness (E, V) of every epoch of one training. What it prints is not shown."""
    import torch

    from tasks.learning.assembly import describe, prepare
    from tasks.learning.distributed import Group
    from tasks.learning.inference import use_threads
    from tasks.learning.loop import fit

    dataset, train, val = splits
    use_threads(params.threads)
    # One process and no compilation: neither changes what a remedy brings.
    alone = params.train.model_copy(update={"devices": 1, "num_nodes": 1, "compile": False})
    seeded = params.model_copy(update={"seed": seed, "train": alone})
    with torch.random.fork_rng(), Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        ready, learner = prepare(seeded, describe(alone, dataset), train, val, Group())
        fit(learner, ready.train.epochs)
    dynamics = learner.recorder.dynamics()
    return dynamics.val_loss.double().numpy(), dynamics.val_correct.numpy()


def _part(split: "Split", fraction: float, seed: int) -> "Split":
    """A part of the training images, with as many of each class as there are in proportion, and at least one; in their order."""
    from tasks.contracts.splits import Split

    if fraction == 1:
        return split
    labels = split.labels.numpy()
    rows = _stratified(labels, fraction, generator(seed, PARTS))
    return Split(split.images[rows], split.labels[rows], split.rows[rows])


def _stratified(labels: Ints, fraction: float, random: np.random.Generator) -> Ints:
    """Positions, sorted; those of a smaller fraction are among those of a larger one, as the order of each class is the same."""
    order = random.permutation(len(labels))
    chosen = [
        order[labels[order] == label][: max(1, round(fraction * int((labels == label).sum())))] for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))
