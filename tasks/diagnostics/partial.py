"""Someone's own numbers in the form that the checks read; what was not given is a `Missing`."""

from typing import Any

import numpy as np

from tasks.contracts.splits import Arrays
from tasks.diagnostics.candidates import margins
from tasks.diagnostics.measured import Dynamics, Measured
from tasks.diagnostics.numbers import Numbers
from tasks.diagnostics.parts import Parts, missing
from tasks.diagnostics.records import Records
from tasks.statistics.answers import Answers, answers
from tasks.statistics.arrays import Bools, Floats
from tasks.statistics.halves import stratified_halves
from tasks.statistics.random import HALVES, generator

PREDICTIONS = {name: f"predictions on {split}" for name, split in (("val", "validation"), ("test", "test"), ("train", "train"))}
EVERY = {name: f"predictions of every epoch on {split}" for name, split in (("val", "validation"), ("train", "train"))}
LIKELIHOOD = "probabilities or logits, beside the losses that were given"
LABELS = "the labels of train"
PIXELS = "the pixels of the images, which these tables do not hold"


class SomeArrays(Parts, Arrays):
    """A split without images, and perhaps without labels."""


class SomeAnswers(Parts, Answers):
    """Answers without those that are scaled by a temperature."""


class SomeDynamics(Parts, Dynamics):
    """What the epochs answered on train, without margins."""


class SomeMeasured(Parts, Measured):
    """A model of which some parts are known."""


def measured(numbers: Numbers, seed: int) -> Measured:
    """What is known, in the form that the checks read."""
    val, test, train, saved = numbers.val, numbers.test, numbers.train, numbers.position
    half = None if val is None else stratified_halves(val.labels, generator(seed, HALVES))
    watched = _column(numbers, "val_loss")
    if watched is None and val is not None and val.loss is not None:
        watched = val.loss.mean(axis=1)
    return SomeMeasured(
        train=_arrays(train, LABELS),
        val=_arrays(val, PREDICTIONS["val"]),
        test=_arrays(test, PREDICTIONS["test"]),
        row_numbers="the column row of the tables",
        train_index=missing(PREDICTIONS["train"]) if train is None or train.loss is None else np.arange(len(train.labels)),
        train_logits=_logits(train, saved, PREDICTIONS["train"]),
        test_logits=_logits(test, 0, PREDICTIONS["test"]),
        val_logits=_logits(val, saved, PREDICTIONS["val"]),
        train_epochs=_dynamics(train),
        val_epochs=_val_epochs(val, half),
        val_half=_given(half, EVERY["val"]),
        rates=_given(_column(numbers, "learning_rate"), "the learning rate of every epoch"),
        watched=_given(watched, "the validation loss of every epoch"),
        saved=saved,
        chosen_by=_chosen_by(numbers, watched),
        seed=seed,
        metadata={} if test is None else test.metadata,
    )


def _column(numbers: Numbers, metric: str) -> Floats | None:
    """A metric of the history at the recorded epochs; None where one of them has none."""
    if numbers.history is None or numbers.epochs is None:
        return None
    rows = numbers.history.where(numbers.epochs)
    found = rows.values(metric) if rows is not None else None
    return None if found is None or np.isnan(found).any() else found


def _given(values: Any, what: str) -> Any:
    return missing(what) if values is None else values


def _chosen_by(numbers: Numbers, watched: Floats | None) -> str:
    if numbers.epochs is None or numbers.saved == numbers.epochs[-1]:
        return "last epoch"
    lowest = watched is not None and int(watched.argmin()) == numbers.position
    return "lowest val_loss" if lowest else "the caller"


def _arrays(records: Records | None, what: str) -> Arrays:
    if records is None:
        return SomeArrays(images=missing(PIXELS), labels=missing(what), rows=missing(what))
    return SomeArrays(images=missing(PIXELS), labels=records.labels, rows=records.rows)


def _logits(records: Records | None, saved: int, what: str) -> Any:
    if records is None or records.loss is None:
        return missing(what)
    return _given(
        records.logits if records.logits is None else records.logits[saved if len(records.logits) > 1 else 0], LIKELIHOOD
    )


def _val_epochs(val: Records | None, half: Bools | None) -> Answers:
    if val is None or val.epochs is None or half is None:
        what = missing(EVERY["val"])
        return SomeAnswers(loss=what, scaled_loss=what, correct=what)
    if val.logits is None:
        return SomeAnswers(
            loss=_given(val.loss, LIKELIHOOD), scaled_loss=missing(LIKELIHOOD), correct=_given(val.correct, LIKELIHOOD)
        )
    each = [answers(logits, val.labels, half) for logits in val.logits]
    return Answers(
        np.stack([epoch.loss for epoch in each]),
        np.stack([epoch.scaled_loss for epoch in each]),
        np.stack([epoch.correct for epoch in each]),
    )


def _dynamics(train: Records | None) -> Dynamics:
    if train is None or train.epochs is None or train.loss is None or train.correct is None:
        what = missing(EVERY["train"])
        return SomeDynamics(margin=what, loss=what, correct=what)
    margin = None
    with np.errstate(over="ignore"):  # beyond 65504, float16 has infinity
        if train.logits is not None:
            margin = np.stack([margins(logits, train.labels)[0] for logits in train.logits]).astype(np.float16)
        loss = train.loss.astype(np.float16)
    return SomeDynamics(margin=_given(margin, LIKELIHOOD), loss=loss, correct=train.correct)
