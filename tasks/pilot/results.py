"""What a pilot has shown: the gain of each remedy, how much the seed alone changes, and whether more data would help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tasks.contracts.findings import Finding, Remedy
from tasks.diagnostics.limits import Limits
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import interval, percent
from tasks.pilot.remedies import Trial
from tasks.pilot.trainings import FRACTIONS, RECIPE, Kept
from tasks.statistics.comparisons import Contrast
from tasks.statistics.crossed import crossed_mean
from tasks.statistics.intervals import chi_square_interval, quantile
from tasks.statistics.learning_curve import next_gain, next_gain_interval
from tasks.statistics.random import EXTRAPOLATION, generator

RESAMPLES = 1000
SEED_VARIANCE = Question(
    code="seed_variance",
    title="Variation from seed to seed",
    definition="The same recipe on the same data ends with another model for another seed, which draws other first weights and "
    "another order of the batches.",
    estimand="standard deviation of the validation accuracy over seeds, the data being what they are",
    method="Standard deviation of the trainings' accuracies, with the interval by the chi-squared distribution.",
    unit="fraction",
)
DATA_LIMITED = Question(
    code="data_limited",
    title="Gain from twice the data",
    definition="With more examples of the same kind the same recipe would be better.",
    estimand="log-loss with the training images that there are, minus that with twice as many, each at its best epoch",
    method="Trainings on an eighth, a quarter, a half and all of the training images, each judged at the epoch that the other half of "
    "validation chooses, so that overtraining does not count; a power law (Hestness et al. 2017) through the "
    "gains of each doubling; the interval has the standard errors over seeds and over validation images, each by the bootstrap.",
    unit="nats",
)


@dataclass(frozen=True)
class Gain:
    """What a remedy brought, as far as it could be tried: less log-loss (nats), and more accuracy (fraction)."""

    trial: Trial
    loss: Contrast | None = None
    accuracy: Contrast | None = None


@dataclass(frozen=True)
class Pilot:
    """All that was found; the gains' intervals hold at once, at this confidence."""

    seeds: list[int]
    images: int  # of validation
    confidence: float
    gains: list[Gain]
    findings: list[Finding]


def conclude(kept: Mapping[str, Kept], tried: Sequence[Trial], seeds: Sequence[int], limits: Limits) -> Pilot:
    """Compare each training with the recipe's of the same seed, image by image; those without answers are not compared."""
    recipe = kept[RECIPE]
    run = [trial for trial in tried if trial.name in kept]
    confidence = 1 - (1 - limits.confidence) / max(1, 2 * len(run))  # Bonferroni's method: two intervals for each
    gains = [
        Gain(
            trial,
            crossed_mean(recipe.loss - kept[trial.name].loss, confidence),
            crossed_mean(kept[trial.name].correct.astype(float) - recipe.correct, confidence),
        )
        for trial in run
    ]
    gains += [Gain(trial) for trial in tried if trial.name not in kept]
    findings = [seed_variance(recipe, limits), data_limited(kept, seeds[0], limits)]
    return Pilot(list(seeds), recipe.loss.shape[1], limits.confidence, gains, findings)


def seed_variance(recipe: Kept, limits: Limits) -> Finding:
    """Describe how much the seed alone changes. It is no harm, but a smaller difference between two single runs shows nothing."""
    accuracy = recipe.correct.mean(axis=1)
    seeds, spread = len(accuracy), float(accuracy.std(ddof=1))
    low, high = (spread * factor for factor in chi_square_interval(seeds - 1, limits.confidence))
    loss = recipe.loss.mean(axis=1)
    alone = quantile((1 + limits.confidence) / 2, seeds - 1) * 2**0.5 * spread  # of the difference of two runs
    return SEED_VARIANCE.answer(
        "info",
        f"Over {seeds} seeds the validation accuracy has a standard deviation of {100 * spread:.2f} percentage points "
        f"({100 * low:.2f} to {100 * high:.2f}), around {percent(float(accuracy.mean()))}; the log-loss has one of "
        f"{float(loss.std(ddof=1)):.4f} nats. Informational: a difference of two single runs below "
        f"{100 * alone:.1f} points may be the seed alone.",
        seeds,
        Estimate(spread, low, high),
        evidence={"accuracies": [float(value) for value in accuracy], "log_losses": [float(value) for value in loss]},
    )


def data_limited(kept: Mapping[str, Kept], seed: int, limits: Limits) -> Finding:
    """Flag where twice the data would lower the log-loss by `harm_nats` or more; pass where it is shown that they would not."""
    sizes = [*(kept[f"{fraction:g}"].best_loss for fraction in FRACTIONS), kept[RECIPE].best_loss]
    gains = np.stack([smaller - larger for smaller, larger in pairwise(sizes)])
    expected = next_gain(gains.mean(axis=(1, 2)))
    low, high = next_gain_interval(gains, limits.confidence, RESAMPLES, generator(seed, EXTRAPOLATION))
    matters, n = limits.harm_nats, gains.shape[2]
    status = "flag" if low >= matters else "pass" if high < matters else "inconclusive"
    doublings = ", ".join(f"{gain:+.3f}" for gain in gains.mean(axis=(1, 2)))
    foreseen = f"{expected:.3f} nats ({interval(low, high, limits.confidence)})"
    said = {
        "flag": f"Twice the training images would lower the log-loss by about {foreseen}. Fix: collect more data.",
        "pass": f"Twice the training images would lower the log-loss by only about {foreseen}: other remedies come first.",
        "inconclusive": f"Whether twice the training images would help is open: they would lower the log-loss by about {foreseen}. Use "
        "more seeds or more validation images.",
    }
    advice = Remedy(
        action="Collect more data of the same kind.",
        expected_gain=expected,
        ci=(low, high),
        unit="nats",
        basis="pilot",
        source="Extrapolated by a power law from trainings on parts of the data.",
    )
    return DATA_LIMITED.answer(
        status,  # type: ignore[arg-type]
        f"{said[status]} The doublings from an eighth to all of the images brought {doublings}.",
        n,
        Estimate(expected, low, high, reference=matters),
        evidence={"gains_of_the_doublings": [float(gain) for gain in gains.mean(axis=(1, 2))]},
        remedy=advice if status == "flag" else None,
    )
