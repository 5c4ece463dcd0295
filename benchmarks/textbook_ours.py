"""The textbook recipe through our stage: `python -m benchmarks.textbook_ours FOLDER`, where the splits are prepared."""

import json
import resource
import sys
import time
from pathlib import Path

import ruamel.yaml  # noqa: F401 (imports are not what is timed, here and below)
import safetensors.torch  # noqa: F401
import torch
import torch._dynamo  # the first optimizer of a process imports it, for over a second: before the clock on both sides

from benchmarks.stages import params_of
from tasks.contracts.trained import HISTORY
from tasks.learning import loop, penalties  # noqa: F401
from tasks.train import train


def main(root: Path) -> None:
    """Train; print one JSON object: the seconds of the stage's function, the loss, threads and memory."""
    params = params_of("train", root)
    begin = time.perf_counter()
    train(params, root)
    seconds = time.perf_counter() - begin
    header, *_, last = (root / HISTORY).read_text().splitlines()
    loss = dict(zip(header.split(","), last.split(","), strict=True))["last_batch_loss"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(
        json.dumps({"seconds": seconds, "last_batch_loss": float(loss), "threads": torch.get_num_threads(), "peak_bytes": peak})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
