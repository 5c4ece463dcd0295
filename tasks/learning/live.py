"""Metrics per epoch while training runs, in DVCLive's layout: `dvclive/plots/metrics/<split>/<name>.tsv` with a column `step`.

They are for watching only. `results/history.csv` is the result, so these files are removed when it is there.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

from tasks.contracts.trained import Epoch
from tasks.core.files import whole, write_json

FOLDER = Path("dvclive")
EVERY_SECONDS = 0.5
METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")


class Live:
    """Writes the tables anew from the whole history: a reader never sees half a line, and a resumed run repeats no row."""

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER
        self._due = 0.0

    def show(self, history: Sequence[Epoch]) -> None:
        """Write the tables, at most twice a second. A write error never ends the training."""
        if time.monotonic() < self._due:
            return
        with suppress(OSError, ValueError):  # ValueError: a metric that JSON cannot hold
            self._write(history)
        self._due = time.monotonic() + EVERY_SECONDS

    def remove(self) -> None:
        """Remove the tables, so that no curve is shown twice."""
        rmtree(self.folder, ignore_errors=True)

    def _write(self, history: Sequence[Epoch]) -> None:
        latest: dict[str, dict[str, float]] = {}
        for metric in METRICS:
            split, name = metric.split("/")
            values = [(row.epoch, getattr(row, f"{split}_{name}")) for row in history]
            if values[-1][1] is None:
                continue
            lines = [f"step\t{name}", *(f"{epoch}\t{value!r}" for epoch, value in values)]
            with whole(self.folder / "plots/metrics" / split / f"{name}.tsv") as temporary:
                temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
            latest.setdefault(split, {})[name] = values[-1][1]
        write_json(self.folder / "metrics.json", {"step": history[-1].epoch, **latest})
