"""Where a model computes."""

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
