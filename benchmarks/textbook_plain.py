"""The textbook recipe as the plain script that everybody writes: `python -m benchmarks.textbook_plain FOLDER EPOCHS THREADS`.

torchvision's dataset, ToTensor and a DataLoader, one linear layer, cross-entropy and SGD. FOLDER is torchvision's root. Prints one
JSON object.
"""

import json
import sys
import time
from typing import Any

import torch
import torch._dynamo  # the first optimizer of a process imports it, for over a second: before the clock on both sides
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def main(folder: str, epochs: int, threads: int) -> dict[str, Any]:
    """Train; the seconds of each epoch, the loss of the last batch, the threads in use."""
    torch.set_num_threads(threads)
    loader = DataLoader(datasets.MNIST(folder, train=True, transform=transforms.ToTensor()), batch_size=32)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    seconds = []
    for _ in range(epochs):
        begin = time.perf_counter()
        for images, labels in loader:
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        seconds.append(time.perf_counter() - begin)
    return {"epoch_seconds": seconds, "last_batch_loss": loss.item(), "threads": torch.get_num_threads()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
