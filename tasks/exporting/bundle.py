"""A model with its exported files and what it costs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.contracts.compressed import ONNX, PT2
from tasks.core.errors import ArtifactError
from tasks.exporting.cost import multiply_adds, parameters, quantized_parameters
from tasks.exporting.export import Prepared, export, onnx_bytes, pt2_bytes
from tasks.exporting.running import open_exported
from tasks.exporting.subject import Subject

# The largest difference that a file's logits may have from torch's: a share of the largest logit, or of 1 where all are smaller.
TOLERANCE = 1e-4
CHECKED_IMAGES = 200


@dataclass(frozen=True)
class Bundle:
    """A model's files by their name, and its cost; see `tasks.contracts.compressed.Entry`."""

    name: str
    options: Mapping[str, Any]
    files: Mapping[str, bytes]
    parameters: int
    nonzero: int
    multiply_adds: int
    largest_difference: Mapping[str, float]


def bundle(name: str, options: Mapping[str, Any], made: nn.Module | bytes, subject: Subject) -> Bundle:
    """Export a module to both formats and compare what they answer with the module; an ONNX model is taken as it is.

    Raises:
        ArtifactError: the module cannot be exported, or a file answers otherwise.
    """
    shape = subject.trained.shape
    if isinstance(made, bytes):  # a quantised model: as many operations as the original, on smaller numbers
        operations = multiply_adds(Prepared(subject.module, subject.trained), shape)
        return Bundle(name, options, {ONNX: made}, *quantized_parameters(made), operations, {})
    prepared = Prepared(made, subject.trained)
    program = export(prepared, shape)
    files = {ONNX: onnx_bytes(program), PT2: pt2_bytes(program)}
    differences = largest_differences(name, prepared, files, subject)
    return Bundle(name, options, files, *parameters(made), multiply_adds(prepared, shape), differences)


def largest_differences(name: str, prepared: Prepared, files: Mapping[str, bytes], subject: Subject) -> dict[str, float]:
    """How far the logits of each file are from the module's on the first training images, in a batch of one and in a larger one.

    Raises:
        ArtifactError: by more than the tolerance.
    """
    images = subject.train.images[:CHECKED_IMAGES]
    with torch.inference_mode():
        expected = prepared(images).numpy()
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    found = {}
    with TemporaryDirectory() as folder:
        for file, content in files.items():
            path = Path(folder) / file
            path.write_bytes(content)
            run = open_exported(path, subject.threads)
            logits: NDArray[np.float32] = run(images.numpy())
            difference = max(_largest(logits, expected), _largest(run(images[:1].numpy()), expected[:1]))
            if not difference <= limit:  # also where it is not a number
                raise ArtifactError(
                    f"{name}/{file} does not compute what the model does: its logits differ by up to {difference:.3g}; expected at "
                    f"most {limit:.3g}, so that nothing was written; the model may hold an operation that does not export"
                )
            found[file] = difference
    return found


def _largest(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    difference = np.abs(found - expected).max()
    return float(difference) if math.isfinite(difference) else math.inf
