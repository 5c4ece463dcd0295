"""The share of wrong labels that held-out answers show: a floor of surprises that no temperature explains."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.statistics.arrays import Floats, Ints
from tasks.statistics.calibration import WIDEST
from tasks.statistics.intervals import exceedance, quantile


@dataclass(frozen=True)
class WrongLabels:
    """The share of wrong labels in [0, 1] with its interval, the temperature beside it, and the p-value of "no label is wrong"."""

    share: float
    low: float
    high: float
    temperature: float
    p_value: float


def wrong_labels(logits: NDArray[np.floating], labels: Ints, confidence: float) -> WrongLabels:
    """Fit the share ε of labels that were replaced by another class at random, together with a temperature T.

    Shapes: logits (N, K) of a model that did not see these examples, labels (N,); N at least 1 and K at least 2.

    The model of a label y is (1 - ε) p_y + ε (1 - p_y) / (K - 1) with p = softmax(logits / T): the symmetric noise matrix of Patrini
    et al. 2017 (section 3) on the output of temperature scaling (Guo et al. 2017); for two classes it is the contaminated logistic
    regression of Copas 1988. An error of a hard problem happens where p is spread, and its label is one that p finds plausible; a
    wrong label also happens where p is sharp, and is any class. T explains the former, ε the latter.

    The interval is that of the profile likelihood. At ε = 0, on the border, the likelihood ratio is zero in half of the cases and
    chi-squared with one degree of freedom in the others (Self & Liang 1987), which the p-value takes into account.
    """
    from scipy.optimize import brentq, minimize_scalar

    profile = _profile(logits, labels)
    largest = (logits.shape[1] - 1) / logits.shape[1]  # there the label says nothing about the example
    fit = minimize_scalar(lambda share: profile(share)[0], bounds=(0, largest), method="bounded", options={"xatol": 1e-4})
    share, least = (float(fit.x), float(fit.fun)) if fit.fun < profile(0.0)[0] else (0.0, profile(0.0)[0])
    allowed = quantile((1 + confidence) / 2) ** 2 / 2

    def excess(candidate: float) -> float:
        return profile(candidate)[0] - least - allowed

    low, high = (
        float(brentq(excess, share, end, xtol=1e-4)) if excess(end) > 0 and end != share else end for end in (0.0, largest)
    )
    root = float(np.sqrt(max(0.0, 2 * (profile(0.0)[0] - least))))
    return WrongLabels(share, low, high, profile(share)[1], exceedance(root, np.inf) if share > 0 else 1.0)


def _profile(logits: NDArray[np.floating], labels: Ints) -> Callable[[float], tuple[float, float]]:
    """For a share of wrong labels: the lowest negative log-likelihood over all temperatures, and the temperature that reaches it.

    As in `fit_temperature`, a standard normal prior on log T keeps T finite, and log T is searched between the same limits.
    """
    from scipy.optimize import minimize_scalar

    below = np.asarray(logits, dtype=np.float64)
    below = below - below.max(axis=1, keepdims=True)
    own = np.take_along_axis(below, labels[:, None], axis=1)[:, 0]
    others = below.shape[1] - 1

    def loss(log_temperature: float, share: float) -> float:
        cold = float(np.exp(-log_temperature))
        given: Floats = np.exp(own * cold) / np.exp(below * cold).sum(axis=1)
        likelihood = (1 - share) * given + share * (1 - given) / others
        return float(log_temperature**2 / 2 - np.log(np.maximum(likelihood, 1e-300)).sum())

    def profile(share: float) -> tuple[float, float]:
        fit = minimize_scalar(loss, args=(share,), bounds=(-WIDEST, WIDEST), method="bounded", options={"xatol": 1e-3})
        return float(fit.fun), float(np.exp(fit.x))

    return profile


def accuracy_on_right_labels(accuracy: float, share: float, classes: int) -> float:
    """What the accuracy would be if the labels that are wrong, a `share` replaced at random, were right.

    A correct prediction meets its label with probability 1 - ε, a wrong one with ε / (K - 1); solved for the accuracy.
    """
    chance = share / (classes - 1)
    return float(np.clip((accuracy - chance) / (1 - share - chance), 0, 1)) if 1 - share > chance else accuracy
