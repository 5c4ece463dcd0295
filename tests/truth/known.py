"""What is true of a trained model, measured on rows that no part of the run has seen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from numpy.typing import NDArray
from torch import nn

from tasks.diagnostics.measured import Measured
from tasks.learning.inference import Preparation, predict
from tasks.learning.recording import Recorder, Scores
from tests.tasks.diagnostics.trained import trained_on
from tests.truth.data import Data, Images, Labels, Logits


@dataclass(frozen=True, eq=False)
class Known:
    """The answers of every epoch, counted from 0: logits (N, K) on fresh rows with these labels (N,), and (M, K) on all of train.

    The fresh rows are drawn as test was; `alike` says whether val was drawn so too.
    """

    labels: Labels
    logits: Callable[[int], Logits]
    train_logits: Callable[[int], Logits]
    alike: bool = True


@dataclass(frozen=True, eq=False)
class Made:
    """A model with its data, as the checks are given it, and what is true of it."""

    measured: Measured
    known: Known | None  # None where test was not drawn from one population, so that there are no fresh rows
    wrong: float  # share of the labels of val and test that were replaced


def train(root: Path, data: Data, seed: int, settings: dict[str, Any]) -> Made:
    """Really train on the data, with the model of every epoch kept."""
    with kept_epochs() as kept:
        measured = trained_on(root, data.splits, seed, settings, data.classes)
    if data.fresh is None:
        return Made(measured, None, data.wrong)
    images, labels = data.fresh

    def answered(shown: Images) -> Callable[[int], Logits]:
        @cache
        def logits(epoch: int) -> Logits:
            model, prepare = kept[epoch]
            found: NDArray[Any] = predict(model, torch.from_numpy(shown), prepare).numpy()
            return found

        return logits

    return Made(measured, Known(labels, answered(images), answered(measured.train.images), data.alike), data.wrong)


@contextmanager
def kept_epochs() -> Iterator[list[tuple[nn.Module, Preparation]]]:
    """The model after each epoch that is trained within the block, and how images are prepared for it."""
    kept: list[tuple[nn.Module, Preparation]] = []
    record = Recorder.record

    def keeping(recorder: Recorder, model: nn.Module) -> Scores:
        kept.append((deepcopy(model), recorder.prepare))
        return record(recorder, model)

    with mock.patch.object(Recorder, "record", keeping):
        yield kept
