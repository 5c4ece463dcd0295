"""Both sides of `mnist_fast` in turns in one process: `python -m benchmarks.mnist_fast_turns FOLDER SEEDS PAIRS`."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.loop_clock import loop_seconds
from benchmarks.mnist_fast_published import DEVIATION, MEAN, trained
from benchmarks.side_by_side import in_turns
from benchmarks.stages import params_of
from tasks.contracts.splits import Split, read_split
from tasks.contracts.trained import read_model
from tasks.learning.inference import Preparation, predict, rebuild, use_threads
from tasks.train import train


@dataclass
class Side:
    """What the runs of one side reached; the warm-up is the first."""

    seeds: list[int]
    accuracies: list[float] = field(default_factory=list)

    def next_seed(self) -> int:
        return self.seeds[len(self.accuracies)]

    def scored(self, model: nn.Module, prepare: Preparation, test: Split) -> None:
        """One forward pass per test image, in float32, without augmentation."""
        answered = predict(model, test.images, prepare).argmax(1)
        self.accuracies.append((answered == test.labels).double().mean().item())


def main(root: Path, seeds: int, pairs: int) -> dict[str, Any]:
    """Train with the seeds 0, 1, … after a warm-up with another; the seconds of the loops and the test accuracies.

    The first `pairs` seeds train both sides in turns, and only these are timed; the rest trains ours alone.
    """
    params = params_of("train", root)
    use_threads(params.threads)
    train_split, test = read_split(root, "train"), read_split(root, "test")
    published = Preparation([MEAN], [DEVIATION])
    images, labels = published(train_split.images), train_split.labels.clone()
    ours, peer = (Side([seeds, *range(seeds)]) for _ in range(2))

    def run_ours() -> float:
        with loop_seconds() as seconds:
            train(params.model_copy(update={"seed": ours.next_seed()}), root)
        described, weights = read_model(root)
        ours.scored(rebuild(described, weights), Preparation(described.mean, described.deviation), test)
        return seconds[0]

    def run_peer() -> float:
        model, seconds = trained(images, labels, peer.next_seed())
        peer.scored(model, published, test)
        return seconds

    our_seconds, peer_seconds = in_turns(run_ours, run_peer, rounds=pairs)
    for _ in range(seeds - pairs):
        run_ours()
    return {
        "ours": {"seconds": our_seconds, "accuracies": ours.accuracies[1:]},
        "published": {"seconds": peer_seconds, "accuracies": peer.accuracies[1:]},
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
