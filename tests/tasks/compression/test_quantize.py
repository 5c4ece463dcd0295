"""Quantisation: the weights are integers in the file, and the answers stay close."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tasks.compression.quantize import Settings, shrink
from tasks.exporting.cost import parameters, quantized_parameters
from tasks.exporting.running import open_exported
from tests.tasks.compression.project import split, subject

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "model", [{"name": "mlp", "hidden": [12]}, {"name": "cnn", "channels": [4], "hidden": 8}, {"name": "linear"}]
)
@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_are_integers_and_the_answers_stay_close(tmp_path: Path, model: dict[str, object], per_channel: bool) -> None:
    given = subject(model)
    content = shrink(Settings(per_channel=per_channel), given)
    (tmp_path / "model.onnx").write_bytes(content)
    images = split(200, 8).images
    found = open_exported(tmp_path / "model.onnx", 1)(images.numpy())
    with torch.inference_mode():
        expected = given.module(given.prepare(images)).numpy()
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.97
    weights = [
        tensor for tensor in onnx.load_from_string(content).graph.initializer if tensor.name.endswith("weight_quantized")
    ]
    assert len(weights) == sum(weight.ndim > 1 for weight in given.module.parameters())
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.INT8}
    assert quantized_parameters(content)[0] == parameters(given.module)[0]


def test_the_range_of_activations_comes_from_training_images_of_every_class() -> None:
    given = subject()
    assert shrink(Settings(calibration_images=2), given) != shrink(Settings(calibration_images=200), given)
    assert shrink(Settings(calibration_images=240), given) == shrink(Settings(calibration_images=100_000), given)
