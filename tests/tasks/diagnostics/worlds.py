"""Trained models with a known answer, made of numbers alone: labels are drawn from the probabilities that the logits state."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.splits import Arrays
from tasks.diagnostics.crossfit import strongest_rival
from tasks.diagnostics.measured import Dynamics, Limits, Measured
from tasks.statistics.answers import Answers, answers
from tasks.statistics.arrays import Bools
from tasks.statistics.calibration import log_losses
from tasks.statistics.halves import stratified_halves
from tasks.statistics.random import HALVES, generator

LIMITS = Limits(confidence=0.95, alpha=0.05, power=0.8, harm_nats=0.03, harm_accuracy=0.02)
Logits = NDArray[np.float32]
Labels = NDArray[np.int64]


def truth(n: int, classes: int, random: np.random.Generator, sharpness: float = 3.0) -> tuple[NDArray[np.float64], Labels]:
    """Calibrated logits (N, K), and labels (N,) drawn from them."""
    logits = sharpness * random.normal(size=(n, classes))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return logits, labels


def epochs(logits: NDArray[np.float64], count: int, noise: float, random: np.random.Generator) -> Logits:
    """Equally good epochs (E, V, K): each adds noise of its own to every example."""
    return (logits + noise * random.normal(size=(count, *logits.shape))).astype(np.float32)


def images(n: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Images (N, 1, 4, 4) that are all different."""
    pixels = random.integers(0, 256, size=(n, 1, 4, 4), dtype=np.uint8)
    pixels.reshape(n, 16)[:, :4] = np.arange(n, dtype=np.uint32).view(np.uint8).reshape(n, 4)
    return pixels


def stacked(epochs: Sequence[Answers]) -> Answers:
    """The answers of all epochs in one, arrays (E, V); there is at least one epoch."""
    return Answers(
        np.stack([epoch.loss for epoch in epochs]),
        np.stack([epoch.scaled_loss for epoch in epochs]),
        np.stack([epoch.correct for epoch in epochs]),
    )


def recorded(val_logits: Logits, labels: Labels, seed: int) -> tuple[Answers, Bools]:
    """What training keeps of the epochs' logits (E, V, K), with the halves (V,) that were scaled by each other."""
    half = stratified_halves(labels, generator(seed, HALVES))
    return stacked([answers(epoch, labels, half) for epoch in val_logits]), half


def recorded_as_read(val_logits: Logits, labels: Labels, seed: int, saved: int) -> tuple[Answers, Bools]:
    """As `recorded`, but only the epochs that a comparison with the saved one reads have scaled losses; those of the others are NaN.

    A fit of the temperature takes longer than all else in thousands of comparisons, and of thirty epochs about three are read.
    """
    half = stratified_halves(labels, generator(seed, HALVES))
    losses = np.stack([log_losses(epoch, labels) for epoch in val_logits])
    scaled = np.full(losses.shape, np.nan)
    chosen = {int(losses[:, choose].mean(axis=1).argmin()) for choose in (half, ~half)}
    rivals = {strongest_rival(losses[:, choose], saved) for choose in (half, ~half)}
    for epoch in {saved} | chosen | rivals:
        scaled[epoch] = answers(val_logits[epoch], labels, half).scaled_loss
    return Answers(losses, scaled, val_logits.argmax(axis=-1) == labels), half


def repeated(logits: NDArray[np.float64], labels: Labels, count: int) -> Dynamics:
    """Epochs (E, M) that all answer the same."""
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    margin = (logits[rows, labels] - others.max(axis=1)).astype(np.float16)
    loss = log_losses(logits, labels).astype(np.float16)
    return Dynamics(*(np.repeat(row[None], count, axis=0) for row in (margin, loss, margin > 0)))


def measured(val_logits: Logits, val_labels: Labels, n: int = 2000, seed: int = 0) -> Measured:
    """A model with these validation recordings; train and test of n rows each, without a leak."""
    random = np.random.default_rng([seed, 99])
    classes = val_logits.shape[2]
    pixels = images(2 * n + len(val_labels), random)
    (train_logits, train_labels), (test_logits, test_labels) = (truth(n, classes, random) for _ in range(2))
    parts = np.split(pixels, [n, n + len(val_labels)])
    first = np.cumsum([0, n, len(val_labels)])
    train, val, test = (
        Arrays(part, labels, np.arange(len(labels)) + start)
        for part, labels, start in zip(parts, (train_labels, val_labels, test_labels), first, strict=True)
    )
    val_epochs, half = recorded(val_logits, val_labels, seed)
    count = len(val_logits)
    return Measured(
        train=train,
        val=val,
        test=test,
        row_numbers="lines of the file",
        train_index=np.arange(n),
        train_logits=train_logits.astype(np.float32),
        test_logits=test_logits.astype(np.float32),
        val_logits=val_logits[-1],
        train_epochs=repeated(train_logits, train_labels, count),
        val_epochs=val_epochs,
        val_half=half,
        rates=np.full(count, 0.01),
        watched=val_epochs.loss.mean(axis=1) if len(val_labels) else np.full(count, np.nan),
        saved=count - 1,
        chosen_by="last epoch",
        seed=seed,
    )
