"""Measure the latency of the exported models again, on this machine: `python -m benchmarks.latency`."""

import sys
from pathlib import Path

from benchmarks.stages import params_of
from tasks.contracts.compressed import FOLDER, LATENCY, ONNX, read_manifest
from tasks.contracts.splits import read_split
from tasks.core.errors import GoodfitError
from tasks.exporting.latency import BATCHES, measure, write_latency
from tasks.exporting.running import open_exported


def main(root: Path) -> None:
    """Write `results/latency.csv` and print it.

    Raises:
        GoodfitError: there are no exported models, or they are damaged.
    """
    names = read_manifest(root).models
    if not names:
        raise GoodfitError("there are no exported models: compress.methods was empty")
    threads = params_of("compress", root).threads
    images = read_split(root, "test").images[: max(BATCHES)].numpy()
    runners = {name: open_exported(root / FOLDER / name / ONNX, threads) for name in names}
    write_latency(root / LATENCY, measure(runners, images))
    print((root / LATENCY).read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    try:
        main(Path())
    except GoodfitError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
