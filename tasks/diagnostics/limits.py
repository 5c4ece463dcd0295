"""The error rates that the checks keep, and the smallest harms that matter."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What `diagnose` in params.yaml states; these are its defaults."""

    confidence: float = 0.95  # of the intervals
    alpha: float = 0.05  # false-alarm rate of a check when nothing is wrong
    power: float = 0.8  # probability with which a check must detect a harm that matters
    harm_nats: float = 0.05  # the smallest increase in log-loss that matters, in nats
    harm_accuracy: float = 0.02  # the smallest difference in accuracy that matters


DEFAULT = Limits()
