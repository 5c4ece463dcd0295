"""The public one-epoch speed recipe for MNIST as it was published, written from its description.

Two convolutions (5x5 to 24 channels, 3x3 to 32), each with a 2x2 max-pool and then ReLU, and two linear layers (800-256-10); Adam with
betas 0.7 and 0.9; torch's OneCycleLR to 0.01 over one epoch, without a cycle of the momentum; batches of 256, sliced from one tensor in
memory in the order of the data; float32, contiguous. The images are standardised beforehand with mean 0.1307 and deviation 0.3081.
"""

import time

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH_SIZE = 256
LEARNING_RATE = 0.01
MEAN, DEVIATION = 0.1307, 0.3081


class Net(nn.Module):
    """Images (N, 1, 28, 28) float32 to logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 24, 5)
        self.second = nn.Conv2d(24, 32, 3)
        self.hidden = nn.Linear(800, 256)
        self.last = nn.Linear(256, 10)

    def forward(self, images: Tensor) -> Tensor:
        pooled = functional.relu(functional.max_pool2d(self.first(images), 2))
        pooled = functional.relu(functional.max_pool2d(self.second(pooled), 2))
        logits: Tensor = self.last(functional.relu(self.hidden(pooled.flatten(1))))
        return logits


def trained(images: Tensor, labels: Tensor, seed: int) -> tuple[Net, float]:
    """Train a new model for one epoch on standardised images (N, 1, 28, 28) and labels (N,); the model and the loop's seconds."""
    torch.manual_seed(seed)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, betas=(0.7, 0.9))
    steps = -(-len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=steps, cycle_momentum=False)
    begin = time.perf_counter()
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        optimizer.zero_grad()
        functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
        schedule.step()
    return model, time.perf_counter() - begin
