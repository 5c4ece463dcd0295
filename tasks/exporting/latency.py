"""How long a model takes for a batch: a measurement, which differs from run to run and therefore never enters an output."""

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.core.files import whole
from tasks.exporting.running import Runner

BATCHES = (1, 64)
REPETITIONS = 15
SECONDS = 0.01  # of each repetition, at least: a single call is shorter than the clock can tell


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one call with a batch: the median of the repetitions and their quartiles."""

    name: str
    batch: int
    median: float
    low: float
    high: float


def measure(
    models: Mapping[str, Runner],
    images: NDArray[np.uint8],
    batches: Sequence[int] = BATCHES,
    repetitions: int = REPETITIONS,
    seconds: float = SECONDS,
) -> list[Latency]:
    """The latency of each model for each batch size; the models take turns, so that a slow moment of the machine hits all.

    Args:
        models: by name.
        images: (N, C, H, W), repeated to fill a batch.
        batches: how many images each call gets.
        repetitions: how often each model is timed.
        seconds: how long a repetition takes at least.
    """
    found = []
    for size in batches:
        batch = np.resize(images, (size, *images.shape[1:]))
        calls = {name: _calls(run, batch, seconds) for name, run in models.items()}
        times: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(repetitions):
            for name, run in models.items():
                times[name].append(1000 * _seconds(run, batch, calls[name]) / calls[name])
        for name, own in times.items():
            low, median, high = (float(value) for value in np.quantile(own, [0.25, 0.5, 0.75]))
            found.append(Latency(name, size, median, low, high))
    return found


def _calls(run: Runner, batch: NDArray[np.uint8], seconds: float) -> int:
    """How many calls fill a repetition; they warm the model up too."""
    calls = 1
    while (taken := _seconds(run, batch, calls)) < seconds:
        calls = max(calls + 1, min(10 * calls, round(1.2 * calls * seconds / max(taken, 1e-9))))
    return calls


def _seconds(run: Runner, batch: NDArray[np.uint8], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run(batch)
    return time.perf_counter() - start


def write_latency(path: Path, latencies: Sequence[Latency]) -> None:
    """A table with a row for each model and batch size."""
    with whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("model", "batch", "median_ms", "quartile_low_ms", "quartile_high_ms"))
        writer.writerows((found.name, found.batch, found.median, found.low, found.high) for found in latencies)
