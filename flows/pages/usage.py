"""How long each stage of a run took and how much memory it needed, from the journal."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flows.lineage.journal import read_journal


@dataclass(frozen=True)
class Usage:
    """What a stage used; the peak of memory is None where the system does not tell it."""

    seconds: float
    peak_memory_bytes: int | None


def usage_since(root: Path, started: datetime) -> dict[str, Usage]:
    """The usage of every stage that ran and ended well since `started`, its last run for one that ran twice."""
    return {
        line["stage"]: Usage(
            (datetime.fromisoformat(line["finished"]) - datetime.fromisoformat(line["started"])).total_seconds(),
            line.get("peak_memory_bytes"),
        )
        for line in read_journal(root)
        if line.get("outcome") == "ran" and datetime.fromisoformat(line["started"]) >= started
    }


def memory(size: int | None) -> str:
    """`312 MB`, `1.4 GB`; empty where it is not known."""
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
