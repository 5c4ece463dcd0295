"""What can be said about a trained model: one file a check, numbers in, a Finding out.

To add a check: a file here with `check(measured, limits) -> Finding`, whose evidence holds a one-sentence `summary`, and a line
below, in the order of the findings.
"""

from collections.abc import Callable
from typing import NamedTuple

from tasks.contracts.findings import Finding, Verdict
from tasks.diagnostics import gap, integrity, overconfident, overtrained, performance
from tasks.diagnostics.measured import Limits, Measured


class Entry(NamedTuple):
    """A check, and the verdict that its flag means; None for one that only describes."""

    check: Callable[[Measured, Limits], Finding]
    verdict: Verdict | None


REGISTRY: dict[str, Entry] = {
    "integrity": Entry(integrity.check, "leakage"),
    "performance": Entry(performance.check, "underfit"),
    "gap": Entry(gap.check, None),
    "overtrained": Entry(overtrained.check, "overtrained"),
    "overconfident": Entry(overconfident.check, "overconfident"),
}
