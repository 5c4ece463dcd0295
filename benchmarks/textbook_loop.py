"""The textbook recipe: our stage `train` against the plain script and Lightning, with the same threads, down to the last loss's digits.

What counts: the loops' seconds for all epochs. Ours prepares its batches in that time, and records at the end of each epoch what the
diagnosis needs. The plain script and Lightning read through torchvision's dataset and a DataLoader, as everybody writes it; their time
for all epochs is a multiple of one epoch's, measured in turns with ours. Whole processes add the start of Python, imports, reading the
data and writing the results. One seed, which each side sets before it builds its model; nothing is evaluated in the time.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.mnist import IMAGE_BYTES, MNIST, missing, prepared, run_stage
from benchmarks.running import Ran, said
from benchmarks.side_by_side import Comparison, Figure, NotMeasured, Same, Single, in_turns
from benchmarks.workplace import Workplace, workplace
from tasks.contracts.trained import HISTORY
from tasks.core.settings import load_yaml

GOAL_LOOP = 0.04
GOAL_PROCESS = 0.1
ROUNDS = 3
RECIPE = "mnist-linear"
REFERENCE_LOSS = 0.14105679094791412  # of the plain script with torch 2.15 on an x86-64 CPU
MEMORY_GOAL = (1.0e9 + 1.5 * IMAGE_BYTES) / 1e9
WITHOUT_LIGHTNING = "needs Lightning, which goodfit itself does not: .venv/bin/python -m pip install -e '.[bench]'"


@dataclass
class Textbook:
    """All sides, each in a process of its own; keeps what each run of them said."""

    place: Workplace
    folder: Path  # with our splits and parameters
    ours: list[Ran] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # ours, of the last batch
    peers: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"plain": [], "lightning": []})

    def __post_init__(self) -> None:
        stated = load_yaml(self.folder / "params.yaml")
        self.epochs, self.threads = int(stated["train"]["epochs"]), int(stated["threads"])

    def run_ours(self) -> float:
        """Seconds of our loop for all epochs."""
        self.ours.append(run_stage(self.place, self.folder, "train"))
        header, *_, last = (self.folder / HISTORY).read_text().splitlines()
        self.losses.append(float(dict(zip(header.split(","), last.split(","), strict=True))["last_batch_loss"]))
        return self.ours[-1].loop or 0.0

    def run_peer(self, name: str, epochs: int = 1) -> float:
        """Seconds of a peer's loop for all epochs; of fewer, as many times as it takes."""
        arguments = (str(self.place.folder / "torchvision"), str(epochs), str(self.threads))
        self.peers[name].append(said(self.place, f"textbook_{name}", *arguments))
        return float(sum(self.peers[name][-1]["epoch_seconds"])) * self.epochs / epochs

    def whole_process(self, run: dict[str, Any]) -> float:
        """A peer's seconds from start to end, had the run trained for all epochs."""
        loop = sum(run["epoch_seconds"])
        return float(run["process"] - loop + loop * self.epochs / len(run["epoch_seconds"]))


def measure() -> Iterator[Figure | str]:
    """Time all; yields the ratios, then the losses, then our memory."""
    if why := missing():
        yield NotMeasured("textbook recipe", why)
        return
    peers = ("plain", "lightning") if find_spec("lightning") else ("plain",)
    with workplace() as place:
        book = Textbook(place, prepared(place, RECIPE))
        extract(place)
        # The warm-up: all epochs of ours and of the plain script, for the losses; the turns after it take one epoch of each peer.
        whole_ours, whole_plain = book.run_ours(), book.run_peer("plain", book.epochs)
        sides = [lambda name=name: book.run_peer(name) for name in peers]
        ours, plain, *lightning = in_turns(book.run_ours, *sides, rounds=ROUNDS, warm_up=False)
    what = f"textbook recipe, loop of {book.epochs} epochs, {threads(book)}"
    times = f"{book.epochs} times one epoch"
    yield Comparison(what, f"plain script ({times})", GOAL_LOOP, ours, plain)
    yield f"  all {book.epochs} epochs of both once: {whole_ours:.2f} s and {whole_plain:.2f} s, ratio {whole_ours / whole_plain:.3f}"
    yield (
        Comparison(what, f"Lightning ({times})", None, ours, *lightning)
        if lightning
        else NotMeasured("textbook recipe under Lightning", WITHOUT_LIGHTNING)
    )
    processes = tuple(run.process for run in book.ours[1:]), tuple(map(book.whole_process, book.peers["plain"][1:]))
    yield Comparison("textbook recipe, whole process", f"plain script ({times})", GOAL_PROCESS, *processes)
    yield Same(
        "textbook recipe, last batch's loss", "plain script", tuple(book.losses), book.peers["plain"][0]["last_batch_loss"]
    )
    yield from remarks(book)
    yield Single("textbook recipe, peak resident set", "GB", MEMORY_GOAL, tuple(run.peak_bytes / 1e9 for run in book.ours))


def extract(place: Workplace) -> None:
    """Give the peers torchvision's folder, without a network: with the files in place `download=True` only extracts them."""
    raw = place.folder / "torchvision/MNIST/raw"
    raw.mkdir(parents=True)
    for file in MNIST.iterdir():
        (raw / file.name).symlink_to(file)
    script = "import sys; from torchvision.datasets import MNIST; MNIST(sys.argv[1], download=True)"
    place.run(sys.executable, "-c", script, str(place.folder / "torchvision"), at=place.folder)


def threads(book: Textbook) -> str:
    """How many threads torch used.

    Raises:
        RuntimeError: not the same number in every run.
    """
    used = {run.threads for run in book.ours} | {run["threads"] for runs in book.peers.values() for run in runs}
    if len(used) > 1:
        raise RuntimeError(f"the runs used different numbers of threads: {sorted(used)}")
    return f"{used.pop()} thread(s) each"


def remarks(book: Textbook) -> Iterator[str]:
    """How the losses compare with the reference's, and Lightning's with the plain script's after one epoch."""
    reference = "equal" if set(book.losses) == {REFERENCE_LOSS} else "not equal, which another CPU or torch may explain"
    yield f"  reference of the last batch's loss, {REFERENCE_LOSS!r}: {reference}"
    if lightning := {run["last_batch_loss"] for run in book.peers["lightning"]}:
        plain = {run["last_batch_loss"] for run in book.peers["plain"][1:]}
        yield f"  Lightning's and the plain script's loss after one epoch: {'equal' if lightning == plain else 'NOT EQUAL'}"
