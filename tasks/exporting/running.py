"""Run an exported model: onnxruntime for `.onnx`, torch for `.pt2`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.errors import ArtifactError
from tasks.core.files import missing, repair

Logits = NDArray[np.float32]
Runner = Callable[[NDArray[np.uint8]], Logits]


def open_exported(path: Path, threads: int) -> Runner:
    """A function from images (N, C, H, W) uint8 to logits (N, K).

    Raises:
        ArtifactError: the file is missing, damaged, or neither of the two formats.
    """
    if not path.exists():
        raise missing(path, "compress")
    if path.suffix == ".onnx":
        return _onnx(path, threads)
    if path.suffix == ".pt2":
        return _pt2(path)
    raise ArtifactError(f"{path} cannot be run; expected a file that ends in .onnx or .pt2")


def in_batches(run: Runner, images: NDArray[np.uint8], batch_size: int = 1000) -> Logits:
    """Logits (N, K) of images (N, C, H, W), a batch at a time."""
    return np.concatenate([run(images[start : start + batch_size]) for start in range(0, max(1, len(images)), batch_size)])


def _onnx(path: Path, threads: int) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds have no public base
        raise _damaged(path, error) from None

    def run(images: NDArray[np.uint8]) -> Logits:
        (logits,) = session.run(["logits"], {"images": np.ascontiguousarray(images)})
        found: Logits = np.asarray(logits)
        return found

    return run


def _pt2(path: Path) -> Runner:
    import torch

    try:
        with path.open("rb") as file:
            module: Any = torch.export.load(file).module()
    except Exception as error:
        raise _damaged(path, error) from None

    def run(images: NDArray[np.uint8]) -> Logits:
        with torch.inference_mode():
            logits: Logits = module(torch.from_numpy(np.array(images))).numpy()
        return logits

    return run


def _damaged(path: Path, error: Exception) -> ArtifactError:
    reason = str(error).strip().partition("\n")[0]
    return ArtifactError(f"{path} is damaged ({reason}): {repair('compress')}")
