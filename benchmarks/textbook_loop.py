"""The textbook recipe: our stage `train` against the plain script, with the same threads, down to the digits of the last loss."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.side_by_side import Comparison, Single, in_turns
from benchmarks.workplace import ROOT, Workplace, workplace
from flows.parameters.recipes import use_recipe
from tasks.core.settings import load_yaml

GOAL = 0.1
ROUNDS = 5
RECIPE = "mnist-linear"
MNIST = ROOT.parent / "shared/data/mnist"
REFERENCE_LOSS = 0.14105679094791412  # of the plain script with torch 2.15 on an x86-64 CPU
IMAGE_BYTES = 70_000 * 28 * 28
MEMORY_GOAL = (1.0e9 + 1.5 * IMAGE_BYTES) / 1e9


@dataclass
class Textbook:
    """Both sides, each in a process of its own; keeps what each run of them said, and `process_seconds`, imports included."""

    place: Workplace
    ours: list[dict[str, Any]] = field(default_factory=list)
    plain: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        stated = load_yaml(self.place.folder / "ours/params.yaml")
        self.epochs, self.threads = int(stated["train"]["epochs"]), int(stated["threads"])

    def run_ours(self) -> float:
        """Seconds of the stage `train` for all epochs: reading, the loop, recording and writing."""
        self.ours.append(self._said("benchmarks.textbook_ours", str(self.place.folder / "ours")))
        return float(self.ours[-1]["seconds"])

    def run_plain(self, epochs: int = 1) -> float:
        """Seconds of the plain script's loop for all epochs; of fewer, as many times as it takes."""
        arguments = (str(self.place.folder / "plain"), str(epochs), str(self.threads))
        self.plain.append(self._said("benchmarks.textbook_plain", *arguments))
        return float(sum(self.plain[-1]["epoch_seconds"])) * self.epochs / epochs

    def _said(self, module: str, *arguments: str) -> dict[str, Any]:
        done = self.place.run(sys.executable, "-m", module, *arguments, at=ROOT)
        return {**json.loads(done.printed.splitlines()[-1]), "process_seconds": done.seconds}


def measure() -> Iterator[str]:
    """Time both; yields the ratio, then whole runs of both with their losses, then our memory."""
    if not MNIST.is_dir():
        yield "textbook recipe: skipped, the MNIST files are not beside the project (../shared/data/mnist)"
        return
    with workplace() as place:
        prepare(place)
        book = Textbook(place)
        # The warm-up: all epochs of both, which give the losses; the pairs after it take one epoch of the plain script.
        whole_ours, whole_plain = book.run_ours(), book.run_plain(book.epochs)
        ours, plain = in_turns(book.run_ours, book.run_plain, ROUNDS, warm_up=False)
    peer_name = f"plain script ({book.epochs} times one epoch)"
    yield str(Comparison(f"textbook recipe, {book.epochs} epochs, {threads(book)}", peer_name, GOAL, ours, plain))
    yield f"  all {book.epochs} epochs of both once: {pair(whole_ours, whole_plain)}"
    processes = pair(book.ours[0]["process_seconds"], book.plain[0]["process_seconds"])
    yield f"  the same as whole processes, imports and the data's reading included: {processes}"
    yield losses(book)
    yield str(Single("  peak resident set of our side", "GB", MEMORY_GOAL, tuple(run["peak_bytes"] / 1e9 for run in book.ours)))


def pair(ours: float, plain: float) -> str:
    return f"{ours:.2f} s and {plain:.2f} s, ratio {ours / plain:.3f}"


def prepare(place: Workplace) -> None:
    """Give each side its data: our splits, by the stages before `train`, and torchvision's folder. Neither uses a network."""
    ours, raw = place.folder / "ours", place.folder / "plain/MNIST/raw"
    ours.mkdir()
    shutil.copy2(ROOT / "dvc.yaml", ours / "dvc.yaml")
    shutil.copytree(ROOT / "recipes", ours / "recipes")
    use_recipe(RECIPE, ours)
    stages = (sys.executable, "-m", "benchmarks.stages", str(ours), "download", "preprocess")
    place.run(*stages, at=ROOT, GOODFIT_MIRROR=MNIST.parent.as_uri())
    raw.mkdir(parents=True)
    for file in MNIST.iterdir():
        (raw / file.name).symlink_to(file)
    # With the files in place `download=True` only extracts them.
    extract = "import sys; from torchvision.datasets import MNIST; MNIST(sys.argv[1], download=True)"
    place.run(sys.executable, "-c", extract, str(place.folder / "plain"), at=place.folder)


def threads(book: Textbook) -> str:
    """How many threads torch used.

    Raises:
        RuntimeError: not the same number in every run.
    """
    used = {run["threads"] for run in [*book.ours, *book.plain]}
    if len(used) > 1:
        raise RuntimeError(f"the runs used different numbers of threads: {sorted(used)}")
    return f"{used.pop()} thread(s) each"


def losses(book: Textbook) -> str:
    """The last batch's loss of both sides after all epochs, digit by digit."""
    ours, plain = {run["last_batch_loss"] for run in book.ours}, book.plain[0]["last_batch_loss"]
    shown = ", ".join(map(repr, sorted(ours)))
    same = "equal" if ours == {plain} else "NOT EQUAL"
    reference = "equal" if ours == {REFERENCE_LOSS} else "not equal, which another CPU or torch may explain"
    return f"  last batch's loss: ours {shown}, plain {plain!r}: {same}; reference {REFERENCE_LOSS!r}: {reference}"
