"""`goodfit predict`: from any folder, in every format, with one message where it cannot."""

import json
import shutil
import subprocess
import sys
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


def predict(place: Path, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[bytes]":
    command = [str(GOODFIT), "predict", *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, check=False, env=environment(), timeout=120)
    assert done.returncode == code, done.stdout.decode(errors="replace") + done.stderr.decode()
    return done


def refusal(place: Path, *arguments: str) -> str:
    done = predict(place, *arguments, code=1)
    assert done.stdout == b""
    said = done.stderr.decode()
    assert said.startswith("error: ")
    assert "Traceback" not in said
    return said


def expected(place: Path, *paths: str, calibrated: bool = False) -> pd.DataFrame:
    table = predict_files(place / "net", [place / path for path in paths], calibrated=calibrated)
    return table.assign(file=[Path(file).relative_to(place).as_posix() for file in table["file"]])


def test_csv_goes_to_standard_output_and_reads_back_exactly(place: Path) -> None:
    done = predict(place, "net", "2.png", "more", "1.png")
    found = pd.read_csv(StringIO(done.stdout.decode()))
    pd.testing.assert_frame_equal(found, expected(place, "2.png", "more", "1.png"), check_exact=True)
    assert done.stderr == b""
    assert sorted(path.name for path in place.iterdir()) == ["1.png", "2.png", "more", "net"], "nothing else is written"


def test_json_has_one_object_per_image(place: Path) -> None:
    (found,) = json.loads(predict(place, "net", "1.png", "--format", "json").stdout)
    (row,) = expected(place, "1.png").to_dict("records")
    assert found == {
        "file": "1.png",
        "predicted": row["predicted"],
        "confidence": row["confidence"],
        "probabilities": {"cat, big": row["probability_cat, big"], "dög": row["probability_dög"]},
    }


def test_parquet_goes_to_standard_output_or_to_a_file(place: Path) -> None:
    table = pd.read_parquet(BytesIO(predict(place, "net", "more", "1.png", "--format", "parquet").stdout))
    predict(place, "net", "more", "1.png", "-o", "out/table.parquet")
    written = pd.read_parquet(place / "out/table.parquet")
    for found in (table, written):
        pd.testing.assert_frame_equal(found, expected(place, "more", "1.png"), check_exact=True)


def test_calibrated_probabilities_use_the_temperature_beside_the_model(place: Path) -> None:
    found = pd.read_csv(StringIO(predict(place, "net", "1.png", "--calibrated").stdout.decode()))
    pd.testing.assert_frame_equal(found, expected(place, "1.png", calibrated=True), check_exact=True)
    assert not np.allclose(found["confidence"], expected(place, "1.png")["confidence"])
    (place / "net/calibration.json").unlink()
    assert "there is no temperature to calibrate with" in refusal(place, "net", "1.png", "--calibrated")


def test_the_model_is_models_here_where_none_is_named(place: Path) -> None:
    assert "no model: neither 1.png nor models is a folder with model.json" in refusal(place, "1.png")
    (place / "net").rename(place / "models")
    assert predict(place, "1.png").stdout == predict(place, "models", "1.png").stdout == predict(place, ".", "1.png").stdout


def test_the_model_is_that_of_the_project_around(place: Path) -> None:
    (place / "net").rename(place / "models")
    (place / ".dvc").mkdir()
    (place / "dvc.yaml").write_text("stages: {}\n")
    assert b"3.png," in predict(place / "more", "3.png").stdout


def test_what_cannot_be_used_is_named_and_nothing_is_written(place: Path) -> None:
    (place / "torn.png").write_bytes((place / "1.png").read_bytes()[:50])
    said = refusal(place, "net", "torn.png", "1.png", "-o", "table.csv")
    assert "images that cannot be used (1 of 2)" in said
    assert "torn.png: corrupt or unsupported image" in said
    assert not (place / "table.csv").exists()
    assert "absent.png: no such file or folder" in refusal(place, "net", "absent.png")


def test_a_model_without_images_is_refused(place: Path) -> None:
    assert "no images" in refusal(place, "net")


def test_an_unknown_ending_asks_for_the_format(place: Path) -> None:
    assert "say with --format what to write" in refusal(place, "net", "1.png", "-o", "table.txt")
    predict(place, "net", "1.png", "-o", "table.txt", "--format", "csv")
    assert (place / "table.txt").read_bytes() == predict(place, "net", "1.png").stdout


@pytest.mark.parametrize("arguments", [(), ("net", "1.png", "--threads", "0"), ("net", "1.png", "--format", "xml")])
def test_a_wrong_call_is_a_usage_error(place: Path, arguments: tuple[str, ...]) -> None:
    assert b"usage: goodfit predict" in predict(place, *arguments, code=2).stderr


def test_loading_the_command_imports_nothing_heavy() -> None:
    code = "import sys, flows.prediction; print(sorted({'torch', 'numpy', 'pandas', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
