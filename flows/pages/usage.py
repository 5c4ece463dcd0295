"""How long each stage of a run took and how much memory it needed, from the journal."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.lineage.journal import JOURNAL


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
        for line in _lines(root)
        if line.get("outcome") == "ran" and datetime.fromisoformat(line["started"]) >= started
    }


def memory(size: int | None) -> str:
    """`312 MB`, `1.4 GB`; empty where it is not known."""
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _lines(root: Path) -> Iterator[dict[str, Any]]:
    """The journal's lines, without those that a killed process left incomplete."""
    try:
        text = (root / JOURNAL).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"stage", "started", "finished"} <= entry.keys():
            yield entry
