"""How far a training is: what a checkpoint has to hold beside weights and optimizer."""

from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.contracts.trained import Epoch

# Names the file in which a stage keeps its checkpoint. Whoever starts the stage chooses it, with the digest of all inputs in its
# name, so that the checkpoint of another run is never taken for this one's.
CHECKPOINT_VARIABLE = "GOODFIT_CHECKPOINT"


@dataclass
class Position:
    """Counts epochs, batches and steps."""

    epoch: int = 1  # that is running
    batch: int = 0  # batches of it that are done
    step: int = 0  # steps of the optimizer that are done
    loss: float = 0.0  # of the last batch
    first_loss: float = 0.0  # of the first batch
    history: list[Epoch] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)  # of the epochs that have ended; empty without a validation split

    def stepped(self, loss: float) -> None:
        """A batch with this loss is done."""
        self.batch += 1
        self.step += 1
        self.loss = loss
        if self.step == 1:
            self.first_loss = loss

    def ended(self, row: Epoch) -> None:
        """The epoch is done."""
        self.history.append(row)
        if row.val_loss is not None:
            self.val_losses.append(row.val_loss)
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Position":
        return cls(**{**state, "history": [Epoch(**row) for row in state["history"]]})
