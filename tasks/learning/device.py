"""Where a model computes."""

import os
from typing import Literal

import torch

from tasks.core.errors import ParamsError

Name = Literal["auto", "cpu", "cuda"]


def choose(name: Name) -> torch.device:
    """`auto` is the first CUDA device where there is one, and the CPU elsewhere.

    Raises:
        ParamsError: cuda is asked for, and torch finds none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ParamsError("train.device is cuda, but torch finds no CUDA device here; set it to auto or cpu")
    return torch.device("cpu" if name == "cpu" or not torch.cuda.is_available() else "cuda")


def libraries(device: torch.device) -> dict[str, str]:
    """What else decides the bits there: the kind of GPU, and the versions of CUDA and cuDNN; nothing for the CPU."""
    if device.type != "cuda":
        return {}
    return {
        "gpu": torch.cuda.get_device_name(device),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }


def compute_reproducibly(device: torch.device) -> None:
    """Let CUDA give the same bits in every run, and 32-bit numbers 32 bits; the CPU does both anyway. For the whole process.

    An operation that has no such form on CUDA runs as it is, and torch warns of it. Source: torch's notes on reproducibility.
    """
    if device.type != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS begins, before the first product of matrices
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = False  # torch's default computes convolutions with 10 bits of the 23
