"""Tensors in files: safetensors, which memory-map and run no code."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import ArtifactError
from tasks.core.files import missing, repair, whole

if TYPE_CHECKING:
    from torch import Tensor


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
    """Memory-map the tensors that `stage` writes: bytes are read when they are used.

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
