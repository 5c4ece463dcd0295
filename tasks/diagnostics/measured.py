"""What the checks are given: plain arrays and plain values, so that a notebook can call them too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.splits import Arrays
from tasks.diagnostics.crossfit import Comparison, compare
from tasks.diagnostics.limits import Limits
from tasks.statistics.answers import Answers
from tasks.statistics.arrays import Bools, Floats, Ints

__all__ = ["Dynamics", "Limits", "Measured"]


@dataclass(frozen=True, eq=False)
class Dynamics:
    """What each epoch answered on the recorded training examples, without augmentation and in evaluation mode.

    Shapes: margin (E, M) float16, the logit of the true class minus the largest other; loss (E, M) float16, in nats; correct (E, M).
    """

    margin: NDArray[np.float16]
    loss: NDArray[np.float16]
    correct: Bools


@dataclass(frozen=True, eq=False)
class Measured:
    """A trained model and its data.

    Shapes: test_logits (N, K) of the saved weights on test; train_index (M,) positions in train, and train_logits (M, K) of the
    saved weights on them; val_logits (V, K) of the saved weights on val; train_epochs (E, M) and val_epochs (E, V), what each epoch
    answered there, its scaled losses by the halves val_half (V,); rates (E,), the learning rate of each epoch's last step; watched
    (E,), the mean of `train.loss` on val, which early stopping watches. `saved` is the position of the saved epoch, the one whose
    weights were saved, counted from 0; `seed` is for checks that draw random numbers. `metadata` has, by column of the user's table
    (camera, site), a value of each test row (N,), which is empty where the table does not state it. `batch_classes`: how many
    classes a batch of the first epochs held on average, and how many it would in random order; None where that was not recorded.
    """

    train: Arrays
    val: Arrays
    test: Arrays
    row_numbers: str  # what the row numbers of the splits count
    train_index: Ints
    train_logits: NDArray[np.float32]
    test_logits: NDArray[np.float32]
    val_logits: NDArray[np.float32]
    train_epochs: Dynamics
    val_epochs: Answers
    val_half: Bools
    rates: Floats
    watched: Floats
    saved: int
    chosen_by: str
    seed: int
    metadata: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    batch_classes: tuple[float, float] | None = None

    @cached_property
    def comparison(self) -> Comparison | str:
        """The saved epoch against the best one, cross-fitted and computed once for all checks; or why there is none."""
        return compare(self.val_epochs, self.val_half, self.val_logits, self.val.labels, self.saved)
