"""The saved epoch against the best one, without the bias of choosing and scoring the best epoch on the same examples.

The saved epoch is the one whose weights were saved. Comparing it with the epoch of lowest validation loss is biased when the
same validation examples choose that epoch and score it: with 30 equally good epochs and a nominal error rate of 5 %, about 39 % of
runs raise a false alarm. Here one half of the validation set chooses the epoch and the other half scores it, then the halves swap
roles (cross-fitting: Chernozhukov et al. 2018, section 3), and the differences of all examples are pooled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.statistics.answers import Answers
from tasks.statistics.arrays import Bools, Floats, Ints
from tasks.statistics.calibration import fit_temperature, unfitted
from tasks.statistics.comparisons import Contrast, paired_errors
from tasks.statistics.intervals import exceedance, quantile

SMALLEST = 8  # validation examples; with fewer, the variance within a half is meaningless


@dataclass(frozen=True, eq=False)
class Comparison:
    """The saved epoch minus the epoch that the other half chose, for each validation example.

    Shapes: all (V,). `half` says which half scored an example. `raw` and `scaled` are differences in log-loss (nats), before and
    after temperature scaling with temperatures fitted on the other half; `gain` is how much temperature scaling lowers the log-loss
    of the saved epoch. `*_spread` are the same differences against the epoch that the standard error is computed from (see
    `compare`).
    """

    half: Bools
    raw: Floats
    raw_spread: Floats
    scaled: Floats
    scaled_spread: Floats
    gain: Floats
    wrong: Bools
    chosen_wrong: Bools
    spread_wrong: Bools
    saved: int  # epoch, from 1
    chosen: tuple[int, int]  # epochs, from 1: chosen by either half
    # Of the saved epoch, fitted on all validation examples; at a limit of the search there is none: see `fitted`.
    temperature: float

    @property
    def fitted(self) -> float | str:
        """The temperature, or a sentence that says why there is none."""
        return unfitted(self.temperature) or self.temperature

    def raw_harm(self, confidence: float) -> Contrast:
        return paired_mean(self.raw, self.half, confidence, self.raw_spread)

    def scaled_harm(self, confidence: float) -> Contrast:
        return paired_mean(self.scaled, self.half, confidence, self.scaled_spread)

    def temperature_gain(self, confidence: float) -> Contrast:
        return paired_mean(self.gain, self.half, confidence, self.gain)

    def error_harm(self, confidence: float) -> Contrast:
        spread = int((self.wrong & ~self.spread_wrong).sum()), int((~self.wrong & self.spread_wrong).sum())
        return paired_errors(self.wrong, self.chosen_wrong, confidence, spread)

    def against(self) -> str:
        """The chosen epochs in words: "epoch 23", or "epochs 21 and 23 (each the best of one half)"."""
        first, second = sorted(self.chosen)
        return f"epoch {first}" if first == second else f"epochs {first} and {second} (each the best of one half)"


def compare(epochs: Answers, half: Bools, val_logits: NDArray[np.floating], labels: Ints, saved: int) -> Comparison | str:
    """Compare epoch `saved` (from 0) with the epoch of lowest log-loss, choosing and scoring on different halves.

    Shapes: epochs (E, V), half (V,), val_logits (V, K) of the saved epoch, labels (V,). `half` is the one that the answers of the
    epochs were scaled by.

    If a half chooses the saved epoch itself, its differences are exactly zero. That is the right estimate, but a standard error
    of zero would claim certainty. The standard error is therefore computed against the strongest rival: the other epoch whose
    advantage over the saved one has the largest upper limit.

    With early stopping the saved epoch was chosen on the whole validation set, which includes the scoring half. The harm is
    then underestimated: a flag still holds, but a pass is slightly too lenient.

    Returns:
        The comparison, or a sentence that says why there is none.
    """
    losses, cooled, right = epochs.loss, epochs.scaled_loss, epochs.correct
    count, n = losses.shape
    if n == 0:
        return "There is no validation set, so epochs cannot be compared. Set preprocess.val_fraction above 0."
    if n < SMALLEST:
        return f"The validation set has {n} images; comparing epochs needs {SMALLEST} or more. Raise preprocess.val_fraction."
    if count < 2:
        return "Only one epoch was run, so there is no other epoch to compare it with. Raise train.epochs."
    raw, raw_spread, scaled, scaled_spread = (np.zeros(n) for _ in range(4))
    wrong = ~right[saved]
    chosen_wrong, spread_wrong, chosen_epochs = wrong.copy(), wrong.copy(), []
    for score in (half, ~half):
        choose = ~score
        chosen = int(losses[:, choose].mean(axis=1).argmin())
        rival = chosen if chosen != saved else strongest_rival(losses[:, choose], saved)
        raw[score] = losses[saved, score] - losses[chosen, score]
        raw_spread[score] = losses[saved, score] - losses[rival, score]
        scaled[score] = cooled[saved, score] - cooled[chosen, score]
        scaled_spread[score] = cooled[saved, score] - cooled[rival, score]
        chosen_wrong[score] = ~right[chosen, score]
        spread_wrong[score] = ~right[rival, score]
        chosen_epochs.append(chosen + 1)
    return Comparison(
        half=half,
        raw=raw,
        raw_spread=raw_spread,
        scaled=scaled,
        scaled_spread=scaled_spread,
        gain=losses[saved] - cooled[saved],
        wrong=wrong,
        chosen_wrong=chosen_wrong,
        spread_wrong=spread_wrong,
        saved=saved + 1,
        chosen=(chosen_epochs[0], chosen_epochs[1]),
        temperature=fit_temperature(val_logits, labels),
    )


def strongest_rival(losses: Floats, saved: int) -> int:
    """The other epoch with the largest 95 % upper limit of its advantage over the saved one; losses (E, N)."""
    advantage = losses[saved] - losses
    upper = advantage.mean(axis=1) + 1.645 * advantage.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    upper[saved] = -np.inf
    return int(upper.argmax())


def paired_mean(values: Floats, half: Bools, confidence: float, spread: Floats) -> Contrast:
    """Mean of values (V,) with its standard error computed from `spread` (V,).

    The variance is taken within each half, var = Σ_h (n_h / n)² s_h² / n_h, because each half compares with an epoch of its own and
    their means may differ. The interval uses Student's t with n - 2 degrees of freedom.

    The halves choose for each other, which leaves a small positive covariance that this variance ignores: at a nominal 5 %, a
    single test raised 5.9, 7.1 and 6.4 % false alarms among 3, 5 and 10 equally good epochs (1500 runs each, V = 1000). Flags are
    decided after Holm's adjustment over the three tests, which kept the error rate: 3.5, 4.1 and 3.5 %.
    """
    n, estimate = len(values), float(values.mean())
    parts = (spread[half], spread[~half])
    error = float(np.sqrt(sum((len(part) / n) ** 2 * part.var(ddof=1) / len(part) for part in parts)))
    if error == 0:
        return Contrast(estimate, 0.0, estimate, estimate, 0.0 if estimate > 0 else 1.0)
    width = quantile((1 + confidence) / 2, n - 2) * error
    return Contrast(estimate, error, estimate - width, estimate + width, exceedance(estimate / error, n - 2))
