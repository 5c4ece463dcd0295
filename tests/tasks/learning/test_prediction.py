"""Predictions of image files from the model's folder alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tasks.contracts.calibration import read_temperature, write_calibration
from tasks.contracts.results import PREDICTIONS
from tasks.contracts.splits import Split, read_dataset, read_rows, read_split, write_split
from tasks.contracts.trained import MODEL, WEIGHTS, TrainedModel, read_description, write_model
from tasks.core.components import Component
from tasks.core.errors import ArtifactError, DataError
from tasks.core.settings import validate
from tasks.download import Params as Fetching
from tasks.download import download
from tasks.evaluate import Params as Evaluation
from tasks.evaluate import evaluate
from tasks.learning.prediction import predict_files
from tasks.preprocess import Params as Preparing
from tasks.preprocess import preprocess

CLASSES = ["cat", "dog", "eel"]
RANDOM = np.random.default_rng(0)


def store(root: Path, model: dict[str, Any], shape: tuple[int, int, int], **more: Any) -> Path:
    """A model with random weights; the folder that holds nothing but its two files."""
    torch.manual_seed(4)
    choice = Component("tasks.models").choose(model)
    described = {"classes": CLASSES, "mean": [0.4] * shape[0], "deviation": [0.25] * shape[0], **more}
    trained = TrainedModel.model_validate({"model": choice, "shape": shape, **described})
    write_model(root, trained, choice.module.build(choice.settings, shape, len(CLASSES)).state_dict())
    return alone(root)


def alone(root: Path) -> Path:
    folder = root / "elsewhere"
    folder.mkdir(exist_ok=True)
    for path in (MODEL, WEIGHTS):
        shutil.copy2(root / path, folder)
    return folder


def write_images(folder: Path, images: torch.Tensor) -> list[Path]:
    folder.mkdir(parents=True)
    files = [folder / f"{number:04}.png" for number in range(len(images))]
    for file, image in zip(files, images.numpy(), strict=True):
        Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))).save(file)
    return files


def same(found: pd.DataFrame, stored: pd.DataFrame) -> None:
    """Equal to the last digit."""
    assert [CLASSES.index(name) for name in found["predicted"]] == stored["predicted"].tolist()
    assert np.array_equal(found["confidence"], stored["confidence"])
    for number, name in enumerate(CLASSES):
        assert np.array_equal(found[f"probability_{name}"], stored[f"probability_{number}"])


@pytest.mark.parametrize(
    ("model", "shape", "tests"),
    [
        ({"name": "linear"}, (1, 8, 8), 1203),
        ({"name": "mlp", "hidden": [16], "dropout": 0.5}, (1, 8, 8), 30),
        ({"name": "cnn", "channels": [4, 8]}, (3, 12, 9), 40),
    ],
    ids=["linear", "mlp", "cnn in colour"],
)
def test_stored_test_images_get_the_stored_predictions(
    tmp_path: Path, model: dict[str, Any], shape: tuple[int, int, int], tests: int
) -> None:
    folder = store(tmp_path, model, shape)
    images = torch.from_numpy(RANDOM.integers(0, 256, (tests, *shape), dtype=np.uint8))
    write_split(tmp_path, "test", Split(images, torch.arange(tests) % 3, torch.arange(tests)))
    evaluate(Evaluation(seed=0, threads=1), tmp_path)
    files = write_images(tmp_path / "images", images)
    found = predict_files(folder, [tmp_path / "images"])
    assert found["file"].tolist() == [file.as_posix() for file in files]
    same(found, pd.read_parquet(tmp_path / PREDICTIONS))


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_the_users_own_files_of_many_sizes_become_what_they_became_in_training(tmp_path: Path, resize: str) -> None:
    for number in range(45):
        size = (40 + number % 7, 30 + number % 5)
        pixels = RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)
        file = tmp_path / f"own/{CLASSES[number % 3]}/{number}.{'jpg' if number % 2 else 'png'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    dataset = {"name": "image_folder"}
    download(validate(Fetching, {"download": {"dataset": dataset, "path": "own"}}), tmp_path)
    chosen = {"val_fraction": 0.2, "test_fraction": 0.4, "image": {"size": [12, 10], "resize": resize}}
    preprocess(validate(Preparing, {"seed": 0, "download": {"dataset": dataset}, "preprocess": chosen}), tmp_path)
    known = read_dataset(tmp_path)
    assert known.resize == resize
    folder = store(tmp_path, {"name": "cnn", "channels": [4]}, known.shape, resize=known.resize)
    evaluate(Evaluation(seed=0, threads=1), tmp_path)
    rows = read_rows(tmp_path)
    files = [tmp_path / "own" / path for path in rows[rows["split"] == "test"]["path"]]
    assert len(files) == len(read_split(tmp_path, "test")) > 10
    same(predict_files(folder, files), pd.read_parquet(tmp_path / PREDICTIONS))


def picture(path: Path, size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size[::-1], 77 if mode == "L" else (200, 30, 90)).save(path)
    return path


def test_a_colour_image_becomes_grey_for_a_model_of_grey_images(tmp_path: Path) -> None:
    folder = store(tmp_path, {"name": "linear"}, (1, 8, 8))
    colour = picture(tmp_path / "colour.png", mode="RGB")
    Image.open(colour).convert("L").save(tmp_path / "grey.png")
    first, second = predict_files(folder, [colour, tmp_path / "grey.png"]).drop(columns="file").to_numpy().tolist()
    assert first == second


def test_folders_are_searched_without_hidden_and_system_files(tmp_path: Path) -> None:
    folder = store(tmp_path, {"name": "linear"}, (1, 8, 8))
    wanted = [picture(tmp_path / f"images/{name}") for name in ("a/1.png", "a/2.png", "b.png")]
    (tmp_path / "images/Thumbs.db").write_text("x")
    (tmp_path / "images/.hidden").mkdir()
    picture(tmp_path / "images/.hidden/1.png")
    single = picture(tmp_path / "single.png")
    found = predict_files(str(folder), [str(single), tmp_path / "images"])
    assert found["file"].tolist() == [file.as_posix() for file in (single, *wanted)]
    assert list(found) == ["file", "predicted", "confidence", "probability_cat", "probability_dog", "probability_eel"]


def test_all_images_that_cannot_be_used_are_named_at_once(tmp_path: Path) -> None:
    folder = store(tmp_path, {"name": "linear"}, (1, 8, 8))
    files = [picture(tmp_path / "1.png"), tmp_path / "2.png", picture(tmp_path / "3.png", (9, 7)), tmp_path / "4.txt"]
    files[1].write_bytes(files[0].read_bytes()[:40])
    files[3].write_text("not an image")
    with pytest.raises(DataError) as caught:
        predict_files(folder, files)
    said = str(caught.value)
    assert said.startswith("images that cannot be used (3 of 4):\n")
    assert f"{files[2]}: 9 x 7 pixels (height x width); expected 8 x 8 as in training" in said
    assert f"{files[1]}: " in said
    assert f"{files[3]}: not an image in one of the formats" in said


def test_paths_that_do_not_exist_and_empty_folders_are_refused(tmp_path: Path) -> None:
    folder = store(tmp_path, {"name": "linear"}, (1, 8, 8))
    with pytest.raises(DataError, match=r"paths that do not exist \(2\)"):
        predict_files(folder, [tmp_path / "one.png", tmp_path / "two.png"])
    (tmp_path / "empty").mkdir()
    for nothing in ([tmp_path / "empty"], []):
        with pytest.raises(DataError, match="no images in"):
            predict_files(folder, nothing)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("no description", "model.json is missing; expected a folder with model.json and model.safetensors"),
        ("no weights", "model.safetensors is missing; expected a folder"),
        ("not json", "is not the description of a model that can be read here"),
        ("unknown model", "unknown name 'none'; expected one of"),
        ("later format", "format: "),
        ("torn weights", "model.safetensors is damaged"),
        ("other weights", "does not fit"),
    ],
)
def test_a_folder_without_a_whole_model_is_refused(tmp_path: Path, damage: str, said: str) -> None:
    folder = store(tmp_path, {"name": "linear"}, (1, 8, 8))
    description, weights = folder / "model.json", folder / "model.safetensors"
    document = json.loads(description.read_text())
    match damage:
        case "no description":
            description.unlink()
        case "no weights":
            weights.unlink()
        case "not json":
            description.write_text("{")
        case "unknown model":
            description.write_text(json.dumps(document | {"model": {"name": "none"}}))
        case "later format":
            description.write_text(json.dumps(document | {"format": 2}))
        case "torn weights":
            weights.write_bytes(weights.read_bytes()[:-10])
        case "other weights":
            description.write_text(json.dumps(document | {"shape": [1, 9, 9]}))
    with pytest.raises(ArtifactError, match=said):
        predict_files(folder, [picture(tmp_path / "1.png")])


def test_a_model_stored_before_the_rule_for_sizes_still_predicts(tmp_path: Path) -> None:
    folder = store(tmp_path, {"name": "linear"}, (1, 8, 8))
    document = json.loads((folder / "model.json").read_text())
    del document["resize"]
    (folder / "model.json").write_text(json.dumps(document))
    assert len(predict_files(folder, [picture(tmp_path / "1.png")])) == 1


def test_calibrated_probabilities_are_those_of_the_logits_divided_by_the_temperature(tmp_path: Path) -> None:
    folder = store(tmp_path, {"name": "linear"}, (1, 8, 8))
    write_calibration(tmp_path, 2.5, 100)
    shutil.copy2(tmp_path / "models/calibration.json", folder)
    file = picture(tmp_path / "1.png")
    plain, calibrated = predict_files(folder, [file]), predict_files(folder, [file], calibrated=True)
    before, after = (np.log(table.filter(like="probability_").to_numpy()) for table in (plain, calibrated))
    assert np.diff(after) == pytest.approx(np.diff(before) / 2.5)
    assert calibrated["predicted"].tolist() == plain["predicted"].tolist()
    assert read_temperature(folder) == 2.5


def test_without_a_temperature_the_reason_is_given(tmp_path: Path) -> None:
    folder, file = store(tmp_path, {"name": "linear"}, (1, 8, 8)), picture(tmp_path / "1.png")
    with pytest.raises(ArtifactError, match=r"calibration\.json is missing, so there is no temperature"):
        predict_files(folder, [file], calibrated=True)
    write_calibration(tmp_path, "There is no validation set.", 0)
    shutil.copy2(tmp_path / "models/calibration.json", folder)
    with pytest.raises(ArtifactError, match="the diagnosis fitted none: There is no validation set"):
        predict_files(folder, [file], calibrated=True)
    (folder / "calibration.json").write_text("{}")
    with pytest.raises(ArtifactError, match="is not what the stage 'diagnose' writes"):
        predict_files(folder, [file], calibrated=True)


def test_the_temperature_of_another_model_is_refused(tmp_path: Path) -> None:
    store(tmp_path / "one", {"name": "linear"}, (1, 8, 8))
    folder = store(tmp_path / "two", {"name": "mlp"}, (1, 8, 8))
    write_calibration(tmp_path / "one", 2.5, 100)
    shutil.copy2(tmp_path / "one/models/calibration.json", folder)
    with pytest.raises(ArtifactError, match="belongs to other weights"):
        predict_files(folder, [picture(tmp_path / "1.png")], calibrated=True)


def test_the_number_of_threads_is_given_back(tmp_path: Path) -> None:
    folder, before = store(tmp_path, {"name": "linear"}, (1, 8, 8)), torch.get_num_threads()
    predict_files(folder, [picture(tmp_path / "1.png")], threads=before + 1)
    assert torch.get_num_threads() == before


def test_progress_counts_every_image(tmp_path: Path) -> None:
    folder, done = store(tmp_path, {"name": "linear"}, (1, 8, 8)), list[int]()
    files = [picture(tmp_path / f"images/{number}.png") for number in range(5)]
    predict_files(folder, files, advance=done.append)
    assert sum(done) == 5
    assert read_description(tmp_path).resize is None
