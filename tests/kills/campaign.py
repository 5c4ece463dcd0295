"""Trainings that are killed at random moments, continued, and compared byte for byte with one that nothing happened to."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.workplace import Workplace, workplace
from flows.checkpoints import FOLDER
from flows.declaration import read_declaration
from flows.parameters.writing import merged, write_params
from tasks.core.settings import load_yaml

CONTINUING = "train: continuing after step"
LIMIT_SECONDS = 600

# Each has a part whose state a continued run must find again.
MLP = {"name": "mlp", "hidden": [64], "dropout": 0.3}
RECIPES: dict[str, dict[str, Any]] = {
    "momentum and dropout": {"model": MLP, "optimizer": {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9}},
    "augmentation and mixup": {"augmentation": {"name": "geometric"}, "mixing": {"name": "mixup"}},
    "warm-up and one cycle": {"warmup": {"epochs": 30.5}, "schedule": {"name": "onecycle"}},
    "early stopping and plateau": {
        "model": MLP,
        "early_stopping": {"enabled": True, "patience": 1000},
        "schedule": {"name": "plateau", "patience": 1},
    },
    "averaging and clipping": {"averaging": {"name": "ema"}, "regularisation": {"clip_norm": 0.5}},
    "bf16 and accumulation": {"model": MLP, "precision": "bf16-mixed", "accumulate": 2},
}


@dataclass(frozen=True)
class Outcome:
    """What became of a recipe."""

    recipe: str
    kills: int
    continued: int  # runs that went on from a checkpoint
    compared: int  # runs that came to their end
    differing: list[str]  # outputs with other bytes than those of the undisturbed run, and checkpoints that were left behind

    def __str__(self) -> str:
        verdict = f"DIFFERS: {', '.join(self.differing)}" if self.differing else "0 differing bytes"
        return f"{self.recipe:<26} {self.kills:3} kills, {self.continued:3} continued, {self.compared:3} ended: {verdict}"


@dataclass(frozen=True)
class Campaign:
    place: Workplace
    project: Path
    random: random.Random

    def trial(self, recipe: str, kills: int, epochs: int) -> Outcome:
        """Train undisturbed, then until so many trainings were killed, each at a random moment; the last one ends."""
        self._use(recipe, epochs)
        begin = time.monotonic()
        self._train()
        seconds = time.monotonic() - begin
        expected = self._outputs()
        killed = continued = compared = 0
        differing: set[str] = set()
        while True:
            # Anywhere in the run: while modules are imported, between two steps, while outputs are written.
            printed, ended = self._train(self.random.uniform(0.2, 1.2) * seconds if killed < kills else LIMIT_SECONDS)
            killed += not ended
            continued += CONTINUING in printed
            if ended:
                compared += 1
                found = self._outputs()
                differing |= {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}
                differing |= {file.name for file in (self.project / FOLDER).glob("train-*.ckpt")}
                if killed == kills:
                    return Outcome(recipe, killed, continued, compared, sorted(differing))

    def _use(self, recipe: str, epochs: int) -> None:
        text = (self.project / "recipes/digits.yaml").read_text(encoding="utf-8")
        change = {"train": {"epochs": epochs} | RECIPES[recipe]}
        write_params(self.project / "params.yaml", text, merged(load_yaml(self.project / "recipes/digits.yaml"), change))

    def _train(self, seconds: float = LIMIT_SECONDS) -> tuple[str, bool]:
        """Run the stage; kill it after so many seconds. What it printed, and whether it came to its end."""
        command = (sys.executable, "-m", "flows.stage", "train")
        printed = self.place.folder / "printed.txt"
        with (
            printed.open("w") as output,
            self.place.started(*command, at=self.project, environment=self.place.environment, output=output) as process,
        ):
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        text = printed.read_text()
        if process.returncode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"train ended with {process.returncode}:\n{text}")
        return text, process.returncode == 0

    def _outputs(self) -> dict[str, bytes]:
        files = [self.project / name for name in read_declaration(self.project, "train").outs]
        return {file.name: file.read_bytes() for file in files if file.is_file()}


@contextmanager
def campaign(seed: int) -> Iterator[Campaign]:
    """A repository with the digits preprocessed, removed after the block."""
    with workplace() as place:
        project = place.fresh_clone("kills")
        place.run("dvc", "repro", "preprocess", at=project)
        yield Campaign(place, project, random.Random(seed))
