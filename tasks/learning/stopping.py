"""Early stopping: the epoch with the lowest validation loss is kept and comes back (Prechelt 1998)."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass
class Stopper:
    """Watches the validation loss; `enabled` false keeps the last epoch."""

    enabled: bool
    patience: int
    min_delta: float
    best_epoch: int = 0
    best_loss: float = float("inf")
    _weights: dict[str, Tensor] = field(default_factory=dict)

    def should_stop(self, epoch: int, val_loss: float | None, model: nn.Module) -> bool:
        """Remember the weights of a better epoch; say whether patience has run out."""
        if not self.enabled or val_loss is None:
            return False
        if val_loss < self.best_loss - self.min_delta:
            self.best_epoch, self.best_loss = epoch, val_loss
            self._weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        return epoch - self.best_epoch >= self.patience

    def restore(self, last_epoch: int, model: nn.Module) -> tuple[int, str]:
        """Put the best weights back; return the epoch they are of, and what chose it."""
        if not self._weights:
            return last_epoch, "last epoch"
        model.load_state_dict(self._weights)
        return self.best_epoch, "lowest val_loss"

    def state_dict(self) -> dict[str, Any]:
        return {"best_epoch": self.best_epoch, "best_loss": self.best_loss, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_epoch, self.best_loss, self._weights = state["best_epoch"], state["best_loss"], state["weights"]
