"""How many of several intervals hold the truth, if each does with its confidence."""

from scipy.stats import binom

from tasks.contracts.findings import Evidence

CHANCE = 0.001  # that intervals with the stated confidence are outside these bounds, on either side


def fewest(runs: int, confidence: float = 0.95) -> int:
    """Fewer than this are too few for chance."""
    return int(binom.ppf(CHANCE, runs, confidence))


def most(runs: int, confidence: float = 0.95) -> int:
    """More than this are too many for chance: the intervals are wider than their confidence needs."""
    return int(binom.ppf(1 - CHANCE, runs, confidence))


def between(evidence: Evidence, name: str) -> tuple[float, float]:
    """An interval in the evidence of a finding."""
    found = evidence[name]
    assert isinstance(found, list)
    low, high = map(float, found)
    return low, high
