"""Exported models: the answers of the module, for any number of images, in bytes that name no place and no time."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from tasks.contracts.compressed import ONNX, PT2
from tasks.core.errors import ArtifactError
from tasks.exporting import bundle as bundles
from tasks.exporting.bundle import bundle
from tasks.exporting.cost import deflated, multiply_adds, parameters
from tasks.exporting.export import Prepared, export, onnx_bytes, pt2_bytes
from tasks.exporting.running import in_batches, open_exported
from tests.conftest import ROOT
from tests.tasks.compression.project import SHAPE, split, subject

pytestmark = pytest.mark.slow

MODELS = [
    {"name": "linear"},
    {"name": "mlp", "hidden": [12, 8], "dropout": 0.5},
    {"name": "cnn", "channels": [4, 6], "hidden": 8},
    {"name": "lenet", "channels": [4, 6], "hidden": 8},
]
IMAGES = split(67, 5).images


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model["name"]))
def test_the_files_answer_like_the_module_for_any_number_of_images(tmp_path: Path, model: dict[str, object]) -> None:
    given = subject(model)
    made = bundle("original", {}, given.module, given)
    for file in (ONNX, PT2):
        (tmp_path / file).write_bytes(made.files[file])
        run = open_exported(tmp_path / file, 1)
        for rows in (1, 3, 67):
            found = run(IMAGES[:rows].numpy())
            with torch.inference_mode():
                expected = given.module(given.prepare(IMAGES[:rows])).numpy()
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))
        assert 0 <= made.largest_difference[file] < 1e-3


def test_the_onnx_file_is_valid_and_names_its_input_and_output() -> None:
    given = subject({"name": "linear"})
    model = onnx.load_from_string(bundle("original", {}, given.module, given).files[ONNX])
    onnx.checker.check_model(model, full_check=True)
    (images,), (logits,) = model.graph.input, model.graph.output
    assert (images.name, images.type.tensor_type.elem_type) == ("images", onnx.TensorProto.UINT8)
    assert [part.dim_param or part.dim_value for part in images.type.tensor_type.shape.dim] == ["batch", *SHAPE]
    assert (logits.name, [part.dim_param or part.dim_value for part in logits.type.tensor_type.shape.dim]) == (
        "logits",
        ["batch", 3],
    )


def written(places: Sequence[str]) -> list[list[object]]:
    """Of each file of a model: its SHA-256, and how often it names a file of Python and each of these places."""
    given = subject({"name": "cnn", "channels": [4], "hidden": 8})
    return [
        [hashlib.sha256(content).hexdigest(), *(content.count(text.encode()) for text in (".py", *places))]
        for content in bundle("original", {}, given.module, given).files.values()
    ]


@pytest.mark.slow
def test_another_process_in_another_folder_writes_the_same_bytes_without_a_path_in_them(tmp_path: Path) -> None:
    places = [str(ROOT), sys.prefix, str(tmp_path)]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from {__name__} import written; print(written(sys.argv[1:]))"
    other = subprocess.run([sys.executable, "-c", code, *places], cwd=tmp_path, capture_output=True, text=True, check=True)
    here = written(places)
    assert other.stdout == f"{here}\n"
    assert [counts for _, *counts in here] == [[0] * 4] * 2


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3] if images.sum() > 0 else images.flatten(1)[:, 3:6]


def test_a_model_that_decides_by_its_values_is_refused() -> None:
    given = subject(module=Branching())
    with pytest.raises(ArtifactError, match=r"torch\.export cannot export the model"):
        bundle("original", {}, given.module, given)


def test_a_file_that_answers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = subject()
    other = onnx_bytes(export(Prepared(subject({"name": "linear"}).module, given.trained), SHAPE))
    monkeypatch.setattr(bundles, "onnx_bytes", lambda program: other)
    with pytest.raises(
        ArtifactError, match=r"prune/model.onnx does not compute what the model does: its logits differ by up to"
    ):
        bundle("prune", {}, given.module, given)


@pytest.mark.parametrize("file", [ONNX, PT2])
def test_a_missing_damaged_or_other_file_names_what_to_do(tmp_path: Path, file: str) -> None:
    with pytest.raises(ArtifactError, match=rf"{file} is missing; .* run the stage 'compress' again"):
        open_exported(tmp_path / file, 1)
    (tmp_path / file).write_bytes(b"no model")
    with pytest.raises(ArtifactError, match=rf"{file} is damaged .* run the stage 'compress' again"):
        open_exported(tmp_path / file, 1)
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"ends in .onnx or .pt2"):
        open_exported(tmp_path / "model.bin", 1)


def test_batches_do_not_change_the_answers(tmp_path: Path) -> None:
    given = subject()
    (tmp_path / PT2).write_bytes(pt2_bytes(export(Prepared(given.module, given.trained), SHAPE)))
    run = open_exported(tmp_path / PT2, 1)
    assert in_batches(run, IMAGES.numpy(), 10).shape == (67, 3)
    np.testing.assert_allclose(in_batches(run, IMAGES.numpy(), 10), run(IMAGES.numpy()), atol=1e-5)


def test_costs_are_those_counted_by_hand() -> None:
    given = subject({"name": "mlp", "hidden": [12]})
    assert parameters(given.module) == (24 * 12 + 12 + 12 * 3 + 3,) * 2
    assert multiply_adds(Prepared(given.module, given.trained), SHAPE) == 24 * 12 + 12 * 3
    with torch.no_grad():
        given.module[1].weight[0] = 0  # type: ignore[index]
    assert parameters(given.module) == (339, 339 - 24)
    assert deflated(b"\0" * 10_000) < 100
    assert deflated(np.random.default_rng(0).bytes(10_000)) > 10_000


def test_a_model_that_only_scales_is_exported_too(tmp_path: Path) -> None:
    given = subject({"name": "linear"})
    given = replace(given, trained=given.trained.model_copy(update={"mean": [0.0], "deviation": [1.0]}))
    made = bundle("original", {}, given.module, given)
    (tmp_path / ONNX).write_bytes(made.files[ONNX])
    with torch.inference_mode():
        expected = given.module(IMAGES.float() / 255).numpy()
    np.testing.assert_allclose(open_exported(tmp_path / ONNX, 1)(IMAGES.numpy()), expected, atol=1e-4)
