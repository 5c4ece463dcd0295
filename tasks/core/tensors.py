"""Tensors in files: safetensors, which memory-map and run no code."""

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import ArtifactError
from tasks.core.files import missing, repair, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

# Of the tensors that may be mapped, by the names of the safetensors format.
DTYPES = {"U8": "u1", "I64": "<i8"}


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write torch tensors or numpy arrays whole: the same values give the same bytes.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with whole(path) as temporary:
        try:
            # safetensors writes an array's memory as it lies, whatever its strides.
            save_file({name: np.ascontiguousarray(np.asarray(tensor)) for name, tensor in tensors.items()}, temporary)
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written: {error}") from None


def read_tensors(path: Path, stage: str) -> "dict[str, Tensor]":
    """Read the tensors that `stage` writes.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.exists():
        raise missing(path, stage)
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}): {repair(stage)}") from None
    return tensors


def read_arrays(path: Path, stage: str, names: Iterable[str], *, optional: bool = False) -> "dict[str, NDArray[Any]]":
    """Read the named tensors of a file of `stage` as numpy arrays: without torch, and without the other tensors.

    Raises:
        ArtifactError: the file is missing or damaged, or lacks one of them; where they are `optional`, that one is left out.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise missing(path, stage)
    try:
        with safe_open(path, framework="np") as file:
            there = set(file.keys())
            return {name: file.get_tensor(name) for name in names if name in there or not optional}
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}): {repair(stage)}") from None


def map_tensors(path: Path, stage: str) -> "dict[str, Tensor]":
    """Map the tensors that `stage` writes into memory for reading, so that they may be larger than the memory.

    safetensors' own mapping is private and writable, which counts in full against a limit on the memory of a process.

    Raises:
        ArtifactError: the file is missing or damaged.
        ValueError: a tensor is of another type than `DTYPES`.
    """
    import numpy as np
    import torch
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise missing(path, stage)
    try:
        with safe_open(path, framework="np"):  # the header is checked, against the size of the file too
            mapped = np.memmap(path, np.uint8, mode="r")
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}): {repair(stage)}") from None
    length = int.from_bytes(mapped[:8].tobytes(), "little")
    header, data = json.loads(mapped[8 : 8 + length].tobytes()), mapped[8 + length :]
    tensors = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        for name, found in header.items():
            if found["dtype"] not in DTYPES:
                raise ValueError(f"{name} is {found['dtype']}; expected {' or '.join(DTYPES)}")
            start, end = found["data_offsets"]
            tensors[name] = torch.from_numpy(data[start:end].view(DTYPES[found["dtype"]]).reshape(found["shape"]))
    return tensors
