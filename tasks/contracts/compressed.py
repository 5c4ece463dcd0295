"""What `compress` hands on: the exported models, and how each smaller one compares with the original."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tasks.contracts.trained import TrainedModel
from tasks.core.files import expecting, read_text, whole, write_json

FOLDER = Path("models/compressed")
MANIFEST = FOLDER / "models.json"
COMPRESSION = Path("results/compression.json")
LATENCY = Path("results/latency.csv")  # measured times: not an output, because it differs from run to run
ORIGINAL = "original"
ONNX, PT2 = "model.onnx", "model.pt2"  # of onnxruntime, and of torch.export


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Manifest(_Part):
    """`models.json`: what whoever runs an exported model has to know.

    Every model takes `images` (N, C, H, W) uint8, standardises them itself and gives `logits` (N, K) float32.
    """

    format: Literal[1] = 1
    shape: tuple[int, int, int]  # C, H, W of an image
    classes: list[str]
    models: dict[str, list[str]]  # the files of each model, by its name


class Difference(_Part):
    """The smaller model minus the original on the same test images; above zero is worse in both measures.

    The interval is two-sided. `within_margin` says that its upper end lies below the margin: the smaller model is not inferior.
    """

    estimate: float
    low: float
    high: float
    within_margin: bool


class Entry(_Part):
    """An exported model: what it costs, and how good it is. Scores are those of the ONNX file, run by onnxruntime."""

    name: str
    options: dict[str, Any]  # of the method; empty for the original
    bytes: dict[str, int]  # of each file, by its name
    deflated_bytes: int  # of the ONNX file after DEFLATE, which is what zeros save where they are stored
    parameters: int
    nonzero: int
    multiply_adds: int  # of linear and convolutional layers, for one image; zeros count
    largest_difference: dict[str, float]  # between the file's logits and those of torch, by the file's name
    accuracy: float
    log_loss: float  # nats
    error_difference: Difference | None = None  # of the error rate; none for the original
    log_loss_difference: Difference | None = None  # nats
    words: str = ""


class Compression(_Part):
    """`compression.json`; without methods there is no entry."""

    confidence: float
    margin_accuracy: float
    margin_nats: float
    n: int = 0  # test images
    models: list[Entry] = []  # the original first


def write_models(root: Path, trained: TrainedModel, models: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write the files of each model, by model and file name, in place of those that were there; the manifest last."""
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    for name, files in models.items():
        for file, content in files.items():
            with whole(root / FOLDER / name / file) as temporary:
                temporary.write_bytes(content)
    names = {name: sorted(files) for name, files in models.items()}
    manifest = Manifest(shape=trained.shape, classes=trained.classes, models=names)
    write_json(root / MANIFEST, manifest.model_dump(mode="json"))


def read_manifest(root: Path) -> Manifest:
    """Read `models.json`.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    with expecting(root / MANIFEST, "compress"):
        return Manifest.model_validate_json(read_text(root / MANIFEST, "compress"))


def write_compression(root: Path, compression: Compression) -> None:
    write_json(root / COMPRESSION, compression.model_dump(mode="json"))


def read_compression(root: Path) -> Compression:
    """Read `compression.json`.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    with expecting(root / COMPRESSION, "compress"):
        return Compression.model_validate_json(read_text(root / COMPRESSION, "compress"))
