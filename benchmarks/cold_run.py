"""The default pipeline from a fresh clone without any cache, imports included, through both doors."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from statistics import median

from benchmarks.side_by_side import Figure, Single, in_turns
from benchmarks.workplace import ROOT, Workplace, workplace
from flows.declaration import read_declarations
from flows.lineage.journal import JOURNAL

GOAL_SECONDS = 20.0
ROUNDS = 2
GATE = """
import sys, time
from flows.gate import pass_gate
for name in sys.argv[1:]:
    begin = time.perf_counter()
    outcome = pass_gate(name)
    print("passed", name, outcome, time.perf_counter() - begin)
"""
Split = dict[str, float]  # seconds by stage


def measure() -> Iterator[Figure | str]:
    """Time fresh clones through both doors in turns; yields a figure for each door, and a line with its stages.

    Without a warm-up, as cold is what is asked for: no bytecode of ours, no cache and no state of DVC's. The system may still hold
    the libraries' files in memory.
    """
    splits: dict[str, list[Split]] = {"repro": [], "gate": []}
    with workplace() as place:
        repro, gate = in_turns(
            lambda: through_dvc(place, splits["repro"]),
            lambda: through_gate(place, splits["gate"]),
            rounds=ROUNDS,
            warm_up=False,
        )
    yield Single("cold run, dvc repro", "s", GOAL_SECONDS, repro)
    yield by_stage(splits["repro"], repro, "the start of each stage's process is in the rest")
    yield Single("cold run, the flow's gate", "s", GOAL_SECONDS, gate)
    yield by_stage(splits["gate"], gate, "DVC's import is in the rest")


def through_dvc(place: Workplace, splits: list[Split]) -> float:
    """Seconds of `dvc repro` in a new clone; the journal says what each stage took."""
    clone = place.fresh_clone(f"repro{len(splits)}")
    seconds = place.run("dvc", "repro", at=clone).seconds
    entries = [json.loads(line) for line in (clone / JOURNAL).read_text().splitlines()]
    splits.append(all_ran({entry["stage"]: _seconds(entry) for entry in entries if entry["outcome"] == "ran"}))
    return seconds


def through_gate(place: Workplace, splits: list[Split]) -> float:
    """Seconds of the flow's gate, stage after stage, in a new clone."""
    clone = place.fresh_clone(f"gate{len(splits)}")
    done = place.run(sys.executable, "-c", GATE, *read_declarations(ROOT), at=clone)
    passed = [line.split() for line in done.printed.splitlines() if line.startswith("passed ")]
    splits.append(all_ran({name: float(seconds) for _, name, outcome, seconds in passed if outcome == "ran"}))
    return done.seconds


def all_ran(split: Split) -> Split:
    """The split, where it names every stage.

    Raises:
        RuntimeError: a stage was restored, or left as it was: that run was not cold.
    """
    expected = set(read_declarations(ROOT))
    if split.keys() != expected:
        raise RuntimeError(f"not every stage ran: {sorted(split)}; expected {sorted(expected)}")
    return split


def by_stage(splits: list[Split], totals: tuple[float, ...], note: str) -> str:
    medians = {name: median(split[name] for split in splits) for name in read_declarations(ROOT)}
    rest = median(total - sum(split.values()) for split, total in zip(splits, totals, strict=True))
    return "  " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in [*medians.items(), ("rest", rest)]) + f" ({note})"


def _seconds(entry: dict[str, str]) -> float:
    return (datetime.fromisoformat(entry["finished"]) - datetime.fromisoformat(entry["started"])).total_seconds()
