"""The textbook recipe under Lightning's Trainer: `python -m benchmarks.textbook_lightning FOLDER EPOCHS THREADS`.

The data, the model and the optimizer are those of textbook_plain. Without a logger, checkpoints, a summary and a progress bar, all of
which cost time. FOLDER is torchvision's root.
"""

import json
import logging
import sys
import time
from typing import Any

import lightning
import torch
import torch._dynamo  # the first optimizer of a process imports it, for over a second: before the clock on both sides
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


class Textbook(lightning.LightningModule):  # type: ignore[misc]
    """One linear layer; notes the seconds of each epoch and the last loss."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        self.seconds: list[float] = []
        self.last_loss = torch.tensor(0.0)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        loss = functional.cross_entropy(self.model(images), labels)
        self.last_loss = loss.detach()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.model.parameters(), lr=0.01)

    def on_train_epoch_start(self) -> None:
        self.seconds.append(time.perf_counter())

    def on_train_epoch_end(self) -> None:
        self.seconds[-1] = time.perf_counter() - self.seconds[-1]


def main(folder: str, epochs: int, threads: int) -> dict[str, Any]:
    """Train; the seconds of each epoch, the loss of the last batch, the threads in use."""
    torch.set_num_threads(threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    loader = DataLoader(datasets.MNIST(folder, train=True, transform=transforms.ToTensor()), batch_size=32)
    torch.manual_seed(0)
    module = Textbook()
    switched_off = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "enable_progress_bar": False}
    lightning.Trainer(max_epochs=epochs, accelerator="cpu", devices=1, **switched_off).fit(module, loader)
    return {"epoch_seconds": module.seconds, "last_batch_loss": module.last_loss.item(), "threads": torch.get_num_threads()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
