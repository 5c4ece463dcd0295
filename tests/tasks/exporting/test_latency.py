"""Latency: each repetition is long enough for the clock, and a slower model takes longer."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.exporting.latency import measure, write_latency
from tasks.exporting.running import Logits


def test_tells_a_slow_model_from_a_quick_one_for_each_batch(tmp_path: Path) -> None:
    shapes: set[tuple[int, ...]] = set()

    def quick(images: NDArray[np.uint8]) -> Logits:
        shapes.add(images.shape)
        return np.zeros((len(images), 2), np.float32)

    def slow(images: NDArray[np.uint8]) -> Logits:
        time.sleep(0.003)
        return quick(images)

    images = np.zeros((5, 1, 2, 2), np.uint8)
    found = measure({"quick": quick, "slow": slow}, images, batches=(1, 8), repetitions=5, seconds=0.004)
    assert shapes == {(1, 1, 2, 2), (8, 1, 2, 2)}  # 5 images fill a batch of 8
    assert [(one.name, one.batch) for one in found] == [("quick", 1), ("slow", 1), ("quick", 8), ("slow", 8)]
    assert all(0 < one.low <= one.median <= one.high for one in found)
    assert all(one.median >= 3 for one in found if one.name == "slow")  # milliseconds
    assert found[0].median < found[1].median
    write_latency(tmp_path / "latency.csv", found)
    lines = (tmp_path / "latency.csv").read_text().splitlines()
    assert lines[0] == "model,batch,median_ms,quartile_low_ms,quartile_high_ms"
    assert len(lines) == 5
