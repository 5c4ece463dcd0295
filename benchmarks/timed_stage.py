"""A stage's function, timed in a process of its own: `python -m benchmarks.timed_stage FOLDER STAGE` prints one JSON object."""

import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import ruamel.yaml  # noqa: F401 (imports are not what is timed, here and below)
import safetensors.torch  # noqa: F401
import torch

from benchmarks.loop_clock import loop_seconds
from benchmarks.stages import call
from flows.processes.leaving import collect_rarely
from tasks.learning import penalties  # noqa: F401


def main(root: Path, stage: str) -> dict[str, Any]:
    """Call the stage; the fields of `benchmarks.running.Ran`, except for the process's own seconds."""
    if stage == "train":  # its optimizer imports this, for over a second: before the clock on both sides; no other stage does
        import_module("torch._dynamo")
    collect_rarely()  # as the stage's own process does
    begin = time.perf_counter()
    with loop_seconds() as loops:
        call(stage, root)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    loop = loops[0] if loops else None
    return {"seconds": seconds, "loop": loop, "threads": torch.get_num_threads(), "peak_bytes": peak}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
