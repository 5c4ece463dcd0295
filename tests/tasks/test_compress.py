"""`compress`: on request, smaller models with what they cost and how good they are; without a request, nothing and at once."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.compress import Params, compress
from tasks.contracts.compressed import COMPRESSION, FOLDER, LATENCY, Compression, read_compression, read_manifest
from tasks.contracts.results import EVALUATION
from tasks.core.errors import ArtifactError, DataError, ParamsError
from tasks.core.settings import validate
from tasks.evaluate import Params as EvaluateParams
from tasks.evaluate import evaluate
from tests.tasks.compression.project import CLASSES, SHAPE, write_project

pytestmark = pytest.mark.slow

ALL = ["prune", "quantize", {"name": "distill", "epochs": 5}]


def params(*methods: Any, **options: Any) -> Params:
    return validate(Params, {"seed": 0, "threads": 1, "compress": {"methods": list(methods), **options}})


def outputs(root: Path) -> dict[str, bytes]:
    files = [root / COMPRESSION, *sorted((root / FOLDER).rglob("*"))]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every method has run."""
    root = write_project(tmp_path_factory.mktemp("compressed"))
    compress(params(*ALL), root)
    return root


def test_without_methods_it_says_so_and_imports_no_torch(tmp_path: Path) -> None:
    write_project(tmp_path)
    code = (
        "import sys; from pathlib import Path; from tasks.compress import Params, compress\n"
        "compress(Params(seed=0, threads=1), Path(sys.argv[1]))\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["compress: no smaller model was asked for (compress.methods is empty)", "[]"]
    assert read_compression(tmp_path).models == []
    assert outputs(tmp_path).keys() == {"results/compression.json", "models/compressed/models.json"}


def test_the_manifest_names_the_files_and_what_the_models_take(compressed: Path) -> None:
    manifest = read_manifest(compressed)
    both = ["model.onnx", "model.pt2"]
    assert manifest.models == {"original": both, "prune": both, "quantize": ["model.onnx"], "distill": both}
    assert (manifest.shape, manifest.classes) == (SHAPE, CLASSES)
    found = {path for path in outputs(compressed) if path.count("/") == 3}
    assert found == {f"models/compressed/{name}/{file}" for name, files in manifest.models.items() for file in files}


def test_each_entry_has_the_size_of_its_files_and_its_cost(compressed: Path) -> None:
    original, prune, quantize, distill = read_compression(compressed).models
    for entry in (original, prune, quantize, distill):
        assert entry.bytes == {
            file: (compressed / FOLDER / entry.name / file).stat().st_size
            for file in read_manifest(compressed).models[entry.name]
        }
        assert 0 < entry.deflated_bytes < entry.bytes["model.onnx"]
        assert 0 < entry.nonzero <= entry.parameters
    assert original.parameters == 24 * 12 + 12 + 12 * 8 + 8 + 8 * 3 + 3
    assert distill.parameters == 24 * 3 + 3
    assert (original.multiply_adds, distill.multiply_adds) == (24 * 12 + 12 * 8 + 8 * 3, 24 * 3)
    assert prune.parameters < original.parameters == quantize.parameters
    assert prune.options == {"amount": 0.5, "structure": "units", "epochs": 20, "learning_rate": 0.001}
    assert original.options == {}
    assert quantize.largest_difference == {}  # it has no counterpart in torch
    assert all(entry.largest_difference.keys() == {"model.onnx", "model.pt2"} for entry in (original, prune, distill))


def test_each_smaller_model_is_compared_with_the_original(compressed: Path) -> None:
    compression = read_compression(compressed)
    assert compression.n == 300
    original, *smaller = compression.models
    assert original.error_difference is None
    assert original.words == ""
    for entry in smaller:
        assert entry.error_difference is not None
        assert entry.log_loss_difference is not None
        assert entry.error_difference.estimate == pytest.approx(original.accuracy - entry.accuracy)
        assert entry.log_loss_difference.estimate == pytest.approx(entry.log_loss - original.log_loss)
        assert entry.words.startswith("As accurate") == entry.error_difference.within_margin


@pytest.mark.parametrize("file", ["model.onnx", "model.pt2"])
@pytest.mark.parametrize("name", ["original", "prune", "quantize", "distill"])
def test_evaluate_scores_what_compress_made_with_the_same_numbers(compressed: Path, name: str, file: str) -> None:
    if (name, file) == ("quantize", "model.pt2"):
        pytest.skip("a quantised model exists as ONNX only")
    chosen = {"seed": 0, "threads": 1, "evaluate": {"model": f"models/compressed/{name}/{file}"}}
    evaluate(validate(EvaluateParams, chosen), compressed)
    found = json.loads((compressed / EVALUATION).read_text())
    (entry,) = (entry for entry in read_compression(compressed).models if entry.name == name)
    assert found["accuracy"] == pytest.approx(entry.accuracy)
    assert found["log_loss"] == pytest.approx(entry.log_loss, abs=1e-5)


def test_the_original_has_the_scores_of_the_trained_weights(compressed: Path) -> None:
    evaluate(EvaluateParams(seed=0, threads=1), compressed)
    found = json.loads((compressed / EVALUATION).read_text())
    original = read_compression(compressed).models[0]
    assert (found["accuracy"], found["log_loss"]) == pytest.approx((original.accuracy, original.log_loss), abs=1e-5)


def test_times_are_measured_for_each_model_and_are_no_part_of_the_outputs(compressed: Path) -> None:
    rows = list(csv.DictReader((compressed / LATENCY).read_text().splitlines()))
    names = ["original", "prune", "quantize", "distill"]
    assert [(row["model"], row["batch"]) for row in rows] == [(name, size) for size in ("1", "64") for name in names]
    assert all(0 < float(row["quartile_low_ms"]) <= float(row["median_ms"]) <= float(row["quartile_high_ms"]) for row in rows)
    assert "ms" not in (compressed / COMPRESSION).read_text()
    ignored = subprocess.run(["git", "check-ignore", LATENCY], capture_output=True, check=False)
    assert ignored.returncode == 0


@pytest.mark.slow
def test_writes_the_same_bytes_twice(compressed: Path, tmp_path: Path) -> None:
    write_project(tmp_path)
    compress(params(*ALL), tmp_path)
    assert outputs(tmp_path) == outputs(compressed)


def test_a_second_run_leaves_nothing_of_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_project(tmp_path, {"name": "linear"})
    compress(params({"name": "prune", "structure": "weights"}), tmp_path)
    assert "compress: prune: " in capsys.readouterr().out
    assert (tmp_path / LATENCY).exists()
    compress(params(), tmp_path)
    assert outputs(tmp_path).keys() == {"results/compression.json", "models/compressed/models.json"}
    assert not (tmp_path / LATENCY).exists()


def test_the_margins_and_the_confidence_are_those_that_were_asked_for(tmp_path: Path) -> None:
    write_project(tmp_path)
    compress(params("quantize", margin_accuracy=0.5, margin_nats=1e-9, confidence=0.8), tmp_path)
    found = read_compression(tmp_path)
    assert found.model_copy(update={"models": [], "n": 0}) == Compression(confidence=0.8, margin_accuracy=0.5, margin_nats=1e-9)
    words = found.models[1].words
    assert words.startswith("As accurate as the original within 50 percentage points")
    assert "80 % interval" in words
    assert "as low" not in words or "not shown" in words


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (
            ["prune", {"name": "prune", "amount": 0.2}],
            "compress.methods: found prune more than once; expected each name once",
        ),
        (["prun"], r"compress.methods.0.name: unknown name 'prun'; .* did you mean 'prune'\?"),
        ([{"name": "prune", "amount": 1.0}], "compress.methods.0.amount: found 1.0; it should be less than 1"),
        ([{"name": "prune", "temperature": 2.0}], "compress.methods.0.temperature: is an option of distill, not of prune"),
    ],
)
def test_bad_parameters_are_named(methods: list[Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        params(*methods)


def test_a_method_that_does_not_fit_the_model_says_what_to_choose_and_writes_nothing(tmp_path: Path) -> None:
    write_project(tmp_path, {"name": "linear"})
    with pytest.raises(ParamsError, match="no hidden units to cut out"):
        compress(params("prune"), tmp_path)
    with pytest.raises(ParamsError, match="expected fewer: choose a smaller student"):
        compress(params("distill"), tmp_path)
    assert outputs(tmp_path) == {}


def test_refuses_an_empty_test_split(tmp_path: Path) -> None:
    write_project(tmp_path, tests=0)
    with pytest.raises(DataError, match="the test split is empty"):
        compress(params("quantize"), tmp_path)


def test_a_missing_model_names_the_stage_to_run(tmp_path: Path) -> None:
    write_project(tmp_path)
    (tmp_path / "models/model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="run the stage 'train' again"):
        compress(params("quantize"), tmp_path)
