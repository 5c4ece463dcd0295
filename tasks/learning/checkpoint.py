"""A checkpoint: a run that was killed continues from it, and ends with the same bits as one that was not.

The order of the rows and each batch's augmentation follow from the seed, the epoch and the batch's number; so weights, optimizer,
counters and torch's generator are all that a run needs to go on.
"""

import hashlib
import io
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tasks.core.errors import ArtifactError
from tasks.core.files import whole
from tasks.learning.position import CHECKPOINT_VARIABLE, Position

if TYPE_CHECKING:
    from tasks.learning.distributed import Group
    from tasks.learning.loop import Learner

# At most a twentieth of the time is spent on checkpoints.
EVERY_COSTS = 20
EVERY_SECONDS = 0.5
DIGEST_BYTES = 32


class Checkpoint:
    """Keeps the state of a learner in `file`: the SHA-256 of the rest, then what `torch.save` writes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._due = time.monotonic() + EVERY_SECONDS

    @classmethod
    def of_stage(cls, group: "Group") -> "Checkpoint | None":
        """In the file that whoever started the stage (the group's first process) has named; None where nobody has."""
        named = group.of_first(lambda: os.environ.get(CHECKPOINT_VARIABLE))
        return cls(Path(named)) if named else None

    def resumed(self, learner: "Learner") -> Position:
        """Put the learner where the checkpoint was written; at the beginning where there is none, or where it is damaged.

        Raises:
            ArtifactError: it is whole, but of another learner.
        """
        content = learner.group.of_first(self._read)
        if content is None:
            return Position()
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        try:
            for name, part in _parts(learner).items():
                part.load_state_dict(state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            # The learner may be half of each by now, so this run cannot begin anew.
            reason = str(error).strip().partition("\n")[0]
            raise ArtifactError(
                f"the checkpoint does not fit this training ({reason}); it now is {self._set_aside()}: start the run again, and it "
                "begins anew"
            ) from error
        torch.set_rng_state(state["generator"])
        if state["generator_cuda"] is not None:
            torch.cuda.set_rng_state(state["generator_cuda"])
        at = Position.of(state["position"])
        print(
            f"train: continuing after step {at.step} (epoch {at.epoch}, batch {at.batch}), where an earlier run was interrupted"
        )
        return at

    def save_if_due(self, learner: "Learner", at: Position) -> None:
        """Write the checkpoint where enough time has passed since the last."""
        began = time.monotonic()
        if not learner.group.takes_part_in_saving(began >= self._due):
            return
        self.save(learner, at)
        ended = time.monotonic()
        self._due = ended + max(EVERY_SECONDS, EVERY_COSTS * (ended - began))

    def save(self, learner: "Learner", at: Position) -> None:
        """The file appears whole or not at all. A full disk costs the checkpoint, not the run."""
        written = io.BytesIO()
        state: dict[str, Any] = {name: part.state_dict() for name, part in _parts(learner).items()}
        if learner.group.rank > 0:
            return  # it only had to say its part of the weights
        cuda = learner.batches.prepare.device.type == "cuda"
        state |= {"generator": torch.get_rng_state(), "generator_cuda": torch.cuda.get_rng_state() if cuda else None}
        torch.save(state | {"position": at.state_dict()}, written)
        content = written.getbuffer()
        try:
            with whole(self.file) as temporary, temporary.open("wb") as stream:
                stream.write(hashlib.sha256(content).digest())
                stream.write(content)
        except OSError as error:
            print(f"train: no checkpoint was written ({error}); the run goes on")

    def _read(self) -> bytes | None:
        """What was saved, if it is whole."""
        if not self.file.exists():
            return None
        content = self.file.read_bytes()
        digest, rest = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(rest).digest() != digest:
            print(f"train: the checkpoint is damaged; it now is {self._set_aside()}, and training begins anew")
            return None
        return rest

    def _set_aside(self) -> Path:
        aside = self.file.with_name(f"{self.file.name}.damaged")
        with suppress(FileNotFoundError):  # another process of the group was faster
            self.file.replace(aside)
        return aside


def _parts(learner: "Learner") -> dict[str, Any]:
    """All that changes while a learner learns, by name."""
    parts = {
        "model": learner.model,
        "optimizer": learner.optimizer,
        "averager": learner.averager,
        "scaler": learner.precision.scaler,
        "recorder": learner.recorder,
        "stopper": learner.stopper,
    }
    if learner.group.sharded is not None:
        parts |= learner.group.sharded.states(learner.optimizer)
    return {name: part for name, part in parts.items() if part is not None}
