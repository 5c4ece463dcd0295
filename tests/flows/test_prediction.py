"""`goodfit predict`: from any folder, in every format, with one message where it cannot."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tasks.contracts.calibration import write_calibration
from tasks.contracts.trained import TrainedModel, write_model
from tasks.core.components import Component
from tasks.learning.prediction import predict_files
from tests.conftest import ROOT, environment
from tests.flows.conftest import InProcess

pytestmark = pytest.mark.slow

GOODFIT = Path(sys.executable).with_name("goodfit")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder but for a model, two images and a folder with a third: no pipeline here or above."""
    choice = Component("tasks.models").choose({"name": "mlp", "hidden": [4]})
    described = {"model": choice, "shape": (1, 8, 8), "classes": ["cat, big", "dög"], "mean": [0.5], "deviation": [0.3]}
    torch.manual_seed(0)
    weights = choice.module.build(choice.settings, (1, 8, 8), 2).state_dict()
    write_model(tmp_path / "made", TrainedModel.model_validate(described), weights)
    write_calibration(tmp_path / "made", 3.0, 100)
    here = tmp_path / "here"
    shutil.copytree(tmp_path / "made/models", here / "net")
    random = np.random.default_rng(1)
    for name in ("1.png", "2.png", "more/3.png"):
        (here / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(here / name)
    return here


def predict(place: Path, *arguments: str) -> bytes:
    """What the installed command writes to a pipe, and nothing to standard error."""
    command = [str(GOODFIT), "predict", *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, check=False, env=environment(), timeout=120)
    assert done.returncode == 0, done.stdout.decode(errors="replace") + done.stderr.decode()
    assert done.stderr == b""
    return done.stdout


Predicted = Callable[..., bytes]
Refusal = Callable[..., str]


@pytest.fixture
def predicted(place: Path, in_process: InProcess) -> Predicted:
    """What the command writes to standard output."""

    def call(*arguments: str, folder: str = ".") -> bytes:
        done = in_process(place / folder, "predict", *arguments)
        assert done.returncode == 0, done.stdout.decode(errors="replace") + done.stderr.decode()
        return done.stdout

    return call


@pytest.fixture
def refusal(place: Path, in_process: InProcess) -> Refusal:
    """What the command says where it cannot."""

    def call(*arguments: str) -> str:
        done = in_process(place, "predict", *arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        said = done.stderr.decode()
        assert said.startswith("error: ")
        return said

    return call


def expected(place: Path, *paths: str, calibrated: bool = False) -> pd.DataFrame:
    table = predict_files(place / "net", [place / path for path in paths], calibrated=calibrated)
    return table.assign(file=[Path(file).relative_to(place).as_posix() for file in table["file"]])


def test_csv_goes_to_standard_output_and_reads_back_exactly(place: Path) -> None:
    found = pd.read_csv(StringIO(predict(place, "net", "2.png", "more", "1.png").decode()))
    pd.testing.assert_frame_equal(found, expected(place, "2.png", "more", "1.png"), check_exact=True)
    assert sorted(path.name for path in place.iterdir()) == ["1.png", "2.png", "more", "net"], "nothing else is written"


def test_json_has_one_object_per_image(place: Path, predicted: Predicted) -> None:
    (found,) = json.loads(predicted("net", "1.png", "--format", "json"))
    (row,) = expected(place, "1.png").to_dict("records")
    assert found == {
        "file": "1.png",
        "predicted": row["predicted"],
        "confidence": row["confidence"],
        "probabilities": {"cat, big": row["probability_cat, big"], "dög": row["probability_dög"]},
    }


def test_parquet_goes_to_standard_output_or_to_a_file(place: Path, predicted: Predicted) -> None:
    table = pd.read_parquet(BytesIO(predict(place, "net", "more", "1.png", "--format", "parquet")))
    assert predicted("net", "more", "1.png", "-o", "out/table.parquet") == b""
    written = pd.read_parquet(place / "out/table.parquet")
    for found in (table, written):
        pd.testing.assert_frame_equal(found, expected(place, "more", "1.png"), check_exact=True)


def test_calibrated_probabilities_use_the_temperature_beside_the_model(
    place: Path, predicted: Predicted, refusal: Refusal
) -> None:
    found = pd.read_csv(StringIO(predicted("net", "1.png", "--calibrated").decode()))
    pd.testing.assert_frame_equal(found, expected(place, "1.png", calibrated=True), check_exact=True)
    assert not np.allclose(found["confidence"], expected(place, "1.png")["confidence"])
    (place / "net/calibration.json").unlink()
    assert "there is no temperature to calibrate with" in refusal("net", "1.png", "--calibrated")


def test_the_model_is_models_here_where_none_is_named(place: Path, predicted: Predicted, refusal: Refusal) -> None:
    assert "no model: neither 1.png nor models is a folder with model.json" in refusal("1.png")
    (place / "net").rename(place / "models")
    assert predicted("1.png") == predicted("models", "1.png") == predicted(".", "1.png") != b""


def test_the_model_is_that_of_the_project_around(place: Path, predicted: Predicted) -> None:
    (place / "net").rename(place / "models")
    (place / ".dvc").mkdir()
    (place / "dvc.yaml").write_text("stages: {}\n")
    assert b"3.png," in predicted("3.png", folder="more")


def test_what_cannot_be_used_is_named_and_nothing_is_written(place: Path, refusal: Refusal) -> None:
    (place / "torn.png").write_bytes((place / "1.png").read_bytes()[:50])
    said = refusal("net", "torn.png", "1.png", "-o", "table.csv")
    assert "images that cannot be used (1 of 2)" in said
    assert "torn.png: corrupt or unsupported image" in said
    assert not (place / "table.csv").exists()
    assert "absent.png: no such file or folder" in refusal("net", "absent.png")


def test_a_model_without_images_is_refused(refusal: Refusal) -> None:
    assert "no images" in refusal("net")


def test_an_unknown_ending_asks_for_the_format(place: Path, predicted: Predicted, refusal: Refusal) -> None:
    assert "say with --format what to write" in refusal("net", "1.png", "-o", "table.txt")
    predicted("net", "1.png", "-o", "table.txt", "--format", "csv")
    assert (place / "table.txt").read_bytes() == predicted("net", "1.png")


@pytest.mark.parametrize("arguments", [(), ("net", "1.png", "--threads", "0"), ("net", "1.png", "--format", "xml")])
def test_a_wrong_call_is_a_usage_error(place: Path, in_process: InProcess, arguments: tuple[str, ...]) -> None:
    done = in_process(place, "predict", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"usage: goodfit predict" in done.stderr


def test_loading_the_command_imports_nothing_heavy() -> None:
    code = "import sys, flows.prediction; print(sorted({'torch', 'numpy', 'pandas', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
