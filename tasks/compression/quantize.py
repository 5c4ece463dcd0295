"""Post-training quantisation: weights and activations become 8-bit integers (Jacob et al. 2018), run by onnxruntime.

Static: the range of each activation is measured beforehand, on training images. torch's own quantisation in eager mode is deprecated.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.core.settings import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from tasks.exporting.subject import Subject

BATCH = 64


class Settings(Section):
    calibration_images: int = Field(
        ge=1, le=100_000, default=512
    )  # training images on which the ranges of the activations are measured
    per_channel: bool = True  # a scale for each unit of a layer; false: one scale for each layer


def shrink(settings: Settings, subject: "Subject") -> bytes:
    """An ONNX model with integer weights; it exists in this format only."""
    import tempfile
    from pathlib import Path

    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from tasks.exporting.export import Prepared, export, onnx_bytes, quiet

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.batches = _calibration(subject, settings.calibration_images)

        def get_next(self) -> "dict[str, NDArray[np.uint8]] | None":
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder, quiet():
        original, ready, smaller = (Path(folder) / f"{name}.onnx" for name in ("original", "ready", "smaller"))
        original.write_bytes(onnx_bytes(export(Prepared(subject.module, subject.trained), subject.trained.shape)))
        quant_pre_process(original, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            smaller,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=settings.per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return smaller.read_bytes()


def _calibration(subject: "Subject", number: int) -> "Iterator[dict[str, NDArray[np.uint8]]]":
    """Training images (B, C, H, W) at even distances over the split, so that every class of a sorted one is among them."""
    import numpy as np

    rows = len(subject.train)
    chosen = np.linspace(0, rows - 1, min(number, rows)).round().astype(np.int64)
    for start in range(0, len(chosen), BATCH):
        yield {"images": subject.train.images[chosen[start : start + BATCH]].numpy()}
