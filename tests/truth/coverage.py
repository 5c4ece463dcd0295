"""Which intervals hold what they are said to hold, and which harms are real, by rows that no part of the run has seen."""

from dataclasses import dataclass

import numpy as np

from tasks.contracts.findings import Finding
from tasks.diagnostics.early_stopping import PATIENCE, stopped_epoch
from tasks.diagnostics.measured import Limits
from tasks.evaluate import Evaluate
from tasks.statistics.arrays import Bools
from tasks.statistics.calibration import fit_temperature, log_losses
from tasks.statistics.intervals import bootstrap_mean
from tasks.statistics.membership import lower_probability
from tasks.statistics.random import BOOTSTRAP, generator
from tests.truth.data import Labels, Logits
from tests.truth.known import Known, Made

# What each interval is about, in the order of the page.
INTERVALS = {
    "accuracy": "accuracy of the saved epoch on new rows",
    "log-loss": "log-loss of the saved epoch on new rows (`metrics/evaluation.json`)",
    "gap": "log-loss on new rows minus that on all training rows",
    "harm against the halves": "scaled log-loss of the saved epoch minus the mean of the two epochs that the halves chose",
    "harm against the best": "the same minus that of the epoch with the lowest validation log-loss, which is another question",
    "raw harm": "log-loss of the saved epoch minus the mean of those of the two epochs that the halves chose (overconfident)",
    "area of the attack": "probability that a training row has a lower loss than a new row (membership)",
    "gain of a temperature": "fall of the log-loss on new rows by the temperature fitted on all validation rows",
    "promise of a temperature": "the same, where the check calibration recommends it",
    "promise of early stopping": "log-loss of the last epoch minus that where early stopping would have stopped",
    "share of wrong labels": "share of the validation and test labels that were replaced",
}


@dataclass(frozen=True)
class Interval:
    """An interval, whether it holds the truth, and the truth."""

    low: float
    high: float
    truth: float

    @property
    def holds(self) -> bool:
        return self.low <= self.truth <= self.high


def intervals(made: Made, findings: dict[str, Finding], limits: Limits) -> dict[str, Interval]:
    """Every interval of which the truth is known; see `INTERVALS`."""
    claims = {"share of wrong labels": (_between(findings.get("label_noise")), made.wrong)}
    if made.known is not None:
        claims |= _on_test(made, made.known, findings, limits)
    if made.known is not None and made.known.alike:
        claims |= _on_val(made, made.known, findings)
    return {
        name: Interval(*between, truth)
        for name, (between, truth) in claims.items()
        if between is not None and np.isfinite([*between, truth]).all()
    }


Claims = dict[str, tuple[tuple[float, float] | None, float]]


def _between(finding: Finding | None) -> tuple[float, float] | None:
    """The interval of a finding that has one."""
    if finding is None or finding.ci_low is None or finding.ci_high is None:
        return None
    return finding.ci_low, finding.ci_high


def _on_test(made: Made, known: Known, findings: dict[str, Finding], limits: Limits) -> Claims:
    """What was measured on test rows."""
    measured, saved = made.measured, known.logits(made.measured.saved)
    loss = float(log_losses(saved, known.labels).mean())
    trained = float(log_losses(known.train_logits(measured.saved), measured.train.labels).mean())
    tested, random = log_losses(measured.test_logits, measured.test.labels), generator(measured.seed, BOOTSTRAP)
    return {
        "accuracy": (_between(findings.get("performance")), float((saved.argmax(-1) == known.labels).mean())),
        "log-loss": (bootstrap_mean(tested, limits.confidence, Evaluate().bootstrap_resamples, random), loss),
        "gap": (_between(findings.get("gap")), loss - trained),
        "area of the attack": (_between(findings.get("membership")), attack(made, known, limits)),
    }


def _on_val(made: Made, known: Known, findings: dict[str, Finding]) -> Claims:
    """What was measured on validation rows."""
    measured, halves, overtrained = made.measured, made.measured.comparison, findings.get("overtrained")
    saved, labels = known.logits(measured.saved), known.labels
    cooled = saved / fit_temperature(measured.val_logits, measured.val.labels)
    gain = float((log_losses(saved, labels) - log_losses(cooled, labels)).mean())
    calibration = findings.get("calibration")
    claims: Claims = {"gain of a temperature": (_between(calibration), gain)}
    if calibration is not None and calibration.remedy is not None:
        claims["promise of a temperature"] = (calibration.remedy.ci, gain)
    if overtrained is None or isinstance(halves, str):
        return claims
    own, between = scaled_loss(known, measured.saved), _between(overtrained)
    shares = (halves.half.mean(), 1 - halves.half.mean())
    chosen = sum(share * scaled_loss(known, epoch - 1) for share, epoch in zip(shares, halves.chosen, strict=True))
    claims["harm against the halves"] = (between, own - chosen)
    raw = [
        float(log_losses(known.logits(epoch), labels).mean()) for epoch in (measured.saved, *(one - 1 for one in halves.chosen))
    ]
    claims["raw harm"] = (_between(findings.get("overconfident")), raw[0] - float(np.dot(shares, raw[1:])))
    claims["harm against the best"] = (between, own - scaled_loss(known, best_epoch(made)))
    if overtrained.remedy is not None:
        stopped = known.logits(stopped_epoch(measured.watched, PATIENCE))
        promised = float((log_losses(saved, labels) - log_losses(stopped, labels)).mean())
        claims["promise of early stopping"] = (overtrained.remedy.ci, promised)
    return claims


def attack(made: Made, known: Known, limits: Limits) -> float:
    """The probability that a training row has a lower loss than a new row."""
    members = log_losses(known.train_logits(made.measured.saved), made.measured.train.labels)
    others = log_losses(known.logits(made.measured.saved), known.labels)
    return float(lower_probability(members, others, limits.confidence).estimate)


def best_epoch(made: Made) -> int:
    """The epoch of the lowest validation log-loss, from 0."""
    return int(np.nanargmin(made.measured.val_epochs.loss.mean(axis=1)))


def scaled_loss(known: Known, epoch: int) -> float:
    """The log-loss of an epoch on fresh rows, at the temperature that is best there."""
    logits, labels = known.logits(epoch), known.labels
    return float(log_losses(logits / fit_temperature(logits, labels), labels).mean())


@dataclass(frozen=True)
class Harm:
    """What a flag is about, as it truly is, the value that it has where nothing is wrong, and the one from which on it matters."""

    truth: float
    none: float
    matters: float

    @property
    def real(self) -> bool:
        return self.truth >= self.matters

    @property
    def small(self) -> bool:
        """Less than half of what matters."""
        return self.truth < (self.none + self.matters) / 2


def harms(made: Made, limits: Limits) -> dict[str, Harm]:
    """By check: what a fresh measurement says; only of worlds whose val and test rows are drawn from one population.

    overtrained: the larger of the two harms against the epoch of the lowest validation log-loss, in units of what matters.
    """
    measured, known = made.measured, made.known
    if known is None or not known.alike:
        return {}
    saved, labels = known.logits(measured.saved), known.labels
    if not np.isfinite(saved).all() or not np.isfinite(measured.val_epochs.loss).all():
        return {}
    best = best_epoch(made)
    wrong = [float((known.logits(epoch).argmax(-1) != labels).mean()) for epoch in (measured.saved, best)]
    scaled = scaled_loss(known, measured.saved) - scaled_loss(known, best)
    losses = log_losses(saved, labels)
    return {
        "overtrained": Harm(max(scaled / limits.harm_nats, (wrong[0] - wrong[1]) / limits.harm_accuracy), 0, 1),
        "calibration": Harm(float(losses.mean()) - scaled_loss(known, measured.saved), 0, limits.harm_nats),
        "membership": Harm(attack(made, known, limits), 0.5, 0.6),
        "slices": Harm(largest_gap(saved, saved.argmax(-1) == labels, labels), 0, 0.1),
        "label_noise": Harm(made.wrong, 0, 0.02),
    }


def largest_gap(logits: Logits, right: Bools, labels: Labels) -> float:
    """The accuracy on the rest minus that on a class, or on what is predicted as a class: the largest of all."""
    predicted = logits.argmax(-1)
    groups = [members for k in range(logits.shape[1]) for members in (labels == k, predicted == k)]
    gaps: list[float] = [float(right[~own].mean() - right[own].mean()) for own in groups if 0 < own.sum() < len(own)]
    return max(gaps, default=0.0)
