"""`explain`: which images it chooses, what it writes, and that its sanity check finds a method that ignores the model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks import explain as stage
from tasks.contracts.explanations import EXPLANATIONS, HEAT_MAPS, Explanations, read_explanations
from tasks.contracts.results import PREDICTIONS
from tasks.contracts.splits import Split, write_split
from tasks.contracts.trained import TrainedModel, write_model
from tasks.core.components import Choice, Component
from tasks.core.errors import ArtifactError, DataError, ParamsError
from tasks.core.settings import validate
from tasks.evaluate import Params as Evaluation
from tasks.evaluate import evaluate
from tasks.explain import METHODS, Explain, Params, choose, explain
from tests.tasks.attributions import edges

CLASSES = [str(number) for number in range(5)]
KINDS = ["most certain", "least certain", "most wrong"]


def write_project(root: Path, model: dict[str, Any], shape: tuple[int, int, int] = (1, 8, 8), tests: int = 30) -> Path:
    """A model with random weights, test images, and the predictions that `evaluate` writes for them."""
    torch.manual_seed(3)
    images = torch.randint(0, 256, (tests, *shape), dtype=torch.uint8)
    labels = torch.arange(tests) % len(CLASSES)
    write_split(root, "test", Split(images, labels, torch.arange(tests) * 2 + 1))
    choice = Component("tasks.models").choose(model)
    moments = {"mean": [0.5] * shape[0], "deviation": [0.3] * shape[0]}
    trained = TrainedModel.model_validate({"model": choice, "shape": shape, "classes": CLASSES, **moments})
    write_model(root, trained, choice.module.build(choice.settings, shape, len(CLASSES)).state_dict())
    evaluate(Evaluation(seed=0, threads=1), root)
    return root


def run(root: Path, **options: Any) -> tuple[Explanations, dict[str, Any]]:
    explain(Params(seed=0, threads=1, explain=Explain(**options)), root)
    return read_explanations(root)


MODELS: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "mlp": ({"name": "mlp", "hidden": [16], "dropout": 0.5}, (1, 8, 8)),
    "cnn in colour": ({"name": "cnn", "channels": [4, 8]}, (3, 12, 9)),
    "linear": ({"name": "linear"}, (1, 8, 8)),
}


@pytest.mark.parametrize("case", MODELS)
def test_explains_images_of_each_kind_by_each_method(tmp_path: Path, case: str) -> None:
    model, shape = MODELS[case]
    explanations, heat_maps = run(write_project(tmp_path, model, shape))
    assert list(explanations.groups) == KINDS
    assert [len(places) for places in explanations.groups.values()] == [3, 3, 3]
    assert [method.name for method in explanations.methods] == list(METHODS)
    for method in explanations.methods:
        maps = heat_maps[method.name]
        assert maps.shape == (len(explanations.images), *shape[1:])
        assert np.isfinite(maps).all()
        assert np.ptp(maps) > 0
        assert method.status == "pass", method.summary
        assert method.similarity.pairs == 3 * len(explanations.images)
    assert explanations.methods[1].settings == {"steps": 50}


def test_without_a_method_nothing_is_explained_and_nothing_is_read(tmp_path: Path) -> None:
    assert run(tmp_path, methods=[]) == (Explanations(randomisations=3, max_similarity=0.5), {})


def test_the_images_are_those_of_the_predictions(tmp_path: Path) -> None:
    explanations, _ = run(write_project(tmp_path, *MODELS["mlp"]), images=4)
    table = pd.read_parquet(tmp_path / PREDICTIONS)
    rows = {kind: [explanations.images[place].row for place in places] for kind, places in explanations.groups.items()}
    assert rows["most certain"] == table.sort_values("confidence", ascending=False)["row"].tolist()[:4]
    assert rows["least certain"] == table.sort_values("confidence")["row"].tolist()[:4]
    wrong = table[table["label"] != table["predicted"]].sort_values("loss", ascending=False)
    assert rows["most wrong"] == wrong["row"].tolist()[:4]
    known = table.set_index("row")
    for image in explanations.images:
        assert image.predicted == known.loc[image.row, "predicted"]
        assert image.confidence == known.loc[image.row, "confidence"]
    assert len({image.row for image in explanations.images}) == len(explanations.images), "each image is explained once"


def predictions(*rows: tuple[int, int, int, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["row", "label", "predicted", "confidence", "loss"])


def test_ties_go_by_row_and_a_wrong_image_may_be_the_least_certain_too() -> None:
    table, groups = choose(predictions((9, 0, 0, 1.0, 0.0), (4, 0, 0, 1.0, 0.0), (7, 1, 0, 0.6, 2.0), (2, 1, 1, 0.9, 0.1)), 1)
    assert {kind: table["row"].iloc[places].tolist() for kind, places in groups.items()} == {
        "most certain": [4],
        "least certain": [7],
        "most wrong": [7],
    }
    assert table["row"].tolist() == [4, 7]


def test_few_images_are_not_both_most_and_least_certain() -> None:
    table, groups = choose(predictions((1, 0, 0, 0.9, 0.1), (2, 0, 0, 0.8, 0.2)), 5)
    assert groups == {"most certain": [0, 1], "least certain": [], "most wrong": []}
    assert len(table) == 2


@pytest.mark.parametrize("tests", [1, 2, 4])
def test_few_test_images_are_enough(tmp_path: Path, tests: int) -> None:
    explanations, heat_maps = run(write_project(tmp_path, *MODELS["mlp"], tests=tests))
    assert len(explanations.images) == tests == len(heat_maps["occlusion"])


def test_a_model_that_predicts_one_class_only_is_explained(tmp_path: Path) -> None:
    root = write_project(tmp_path, *MODELS["linear"])
    trained = stage_model(root)
    weights = {"1.weight": torch.randn(5, 64) * 0.01, "1.bias": torch.tensor([0.0, 9.0, 0.0, 0.0, 0.0])}
    write_model(root, trained, weights)
    evaluate(Evaluation(seed=0, threads=1), root)
    explanations, _ = run(root)
    assert {image.predicted for image in explanations.images} == {1}
    assert [method.status for method in explanations.methods] == ["pass"] * 3


def test_constant_heat_maps_are_not_taken_for_a_passed_check(tmp_path: Path) -> None:
    root = write_project(tmp_path, *MODELS["linear"])
    write_model(root, stage_model(root), {"1.weight": torch.zeros(5, 64), "1.bias": torch.arange(5.0)})
    evaluate(Evaluation(seed=0, threads=1), root)
    explanations, _ = run(root)
    for method in explanations.methods:
        assert method.status == "not_run"
        assert "every heat map is constant" in method.summary
        assert method.similarity.model_dump() == {
            "rank_correlation": None,
            "rank_correlation_absolute": None,
            "ssim": None,
            "pairs": 0,
        }


def stage_model(root: Path) -> TrainedModel:
    from tasks.contracts.trained import read_description

    return read_description(root)


@pytest.mark.parametrize(
    ("absolute", "said"), [(False, "Random weights give almost the same heat maps"), (True, "differ only in the sign")]
)
def test_a_method_that_ignores_the_model_fails_its_check(tmp_path: Path, absolute: bool, said: str) -> None:
    """An edge detector, as in section 5 of the paper; the second kind lets the weights decide the signs alone."""
    method = Choice("tests.tasks.attributions", "edges", edges.Settings(absolute=absolute))
    explanations, _ = run(write_project(tmp_path, {"name": "mlp", "hidden": [16]}), methods=[method, "saliency"])
    assert [found.status for found in explanations.methods] == ["fail", "pass"]
    failed = explanations.methods[0]
    assert said in failed.summary
    assert failed.similarity.ssim == pytest.approx(1)
    assert failed.similarity.rank_correlation_absolute == pytest.approx(1)


def test_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    root = write_project(tmp_path, *MODELS["cnn in colour"])
    run(root)
    first = [(root / path).read_bytes() for path in (EXPLANATIONS, HEAT_MAPS)]
    run(root)
    assert [(root / path).read_bytes() for path in (EXPLANATIONS, HEAT_MAPS)] == first


def test_another_seed_draws_other_random_weights_and_leaves_the_heat_maps(tmp_path: Path) -> None:
    root = write_project(tmp_path, *MODELS["mlp"])
    one, maps = run(root)
    explain(Params(seed=1, threads=1), root)
    other, again = read_explanations(root)
    assert all(np.array_equal(maps[name], again[name]) for name in maps)
    assert [method.similarity for method in one.methods] != [method.similarity for method in other.methods]


def test_images_are_given_to_the_model_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_project(tmp_path, *MODELS["cnn in colour"])
    _, whole = run(root)
    monkeypatch.setattr(stage, "BATCH_VALUES", 2 * 3 * 12 * 9)
    _, batched = run(root)
    for name, maps in whole.items():
        assert np.allclose(batched[name], maps, atol=1e-5)


def test_random_weights_follow_from_the_seed(tmp_path: Path) -> None:
    root = write_project(tmp_path, *MODELS["linear"])
    trained = stage_model(root)
    one, other = (stage.random_model(trained, seed).state_dict()["1.weight"] for seed in (1, 2))
    assert not torch.equal(one, other)
    before = torch.random.get_rng_state()
    assert torch.equal(one, stage.random_model(trained, 1).state_dict()["1.weight"])
    assert torch.equal(torch.random.get_rng_state(), before), "torch's own generator is given back as it was"


def test_says_the_outcome_of_each_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(write_project(tmp_path, *MODELS["mlp"]))
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in said] == list(METHODS)
    assert all(line.startswith("explain: ") for line in said)


def test_refuses_an_empty_test_split() -> None:
    with pytest.raises(DataError, match="the test split is empty"):
        choose(predictions(), 3)


def test_refuses_predictions_of_another_split(tmp_path: Path) -> None:
    root = write_project(tmp_path, *MODELS["mlp"])
    pd.read_parquet(root / PREDICTIONS).assign(row=100).to_parquet(root / PREDICTIONS)
    with pytest.raises(ArtifactError, match="the test split has no row 100, which is predicted"):
        run(root)


@pytest.mark.parametrize(
    "path", [PREDICTIONS, "models/model.json", "models/model.safetensors", "data/processed/test.safetensors"]
)
def test_names_the_file_that_is_missing(tmp_path: Path, path: str | Path) -> None:
    root = write_project(tmp_path, *MODELS["mlp"])
    (root / path).unlink()
    with pytest.raises(ArtifactError, match=r"run the stage '.*' again"):
        run(root)
    assert not (root / EXPLANATIONS).exists()


def test_what_belongs_to_another_run_is_not_read(tmp_path: Path) -> None:
    root = write_project(tmp_path, *MODELS["mlp"])
    run(root)
    document = json.loads((root / EXPLANATIONS).read_text())
    document["images"].pop()
    (root / EXPLANATIONS).write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="come from different runs; run the stage 'explain' again"):
        read_explanations(root)


def test_a_method_is_stated_by_its_name_or_with_options() -> None:
    stated = {"methods": ["saliency", {"name": "occlusion", "window": 0.5}]}
    found = validate(Params, {"seed": 0, "threads": 1, "explain": stated}).explain.methods
    assert [method.resolved() for method in found] == [
        {"name": "saliency"},
        {"name": "occlusion", "window": 0.5, "stride": 0.5},
    ]
    with pytest.raises(ParamsError, match="found saliency more than once"):
        validate(Params, {"seed": 0, "threads": 1, "explain": {"methods": ["saliency", "saliency"]}})
    with pytest.raises(ParamsError, match="did you mean 'saliency'"):
        validate(Params, {"seed": 0, "threads": 1, "explain": {"methods": ["salience"]}})


def test_importing_the_stage_and_its_methods_imports_nothing_heavy() -> None:
    names = ", ".join(f"tasks.attributions.{name}" for name in METHODS)
    heavy = {"torch", "numpy", "pandas", "captum", "matplotlib"}
    code = f"import sys, tasks.explain, {names}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
