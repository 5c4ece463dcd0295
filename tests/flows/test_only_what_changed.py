"""Only what changed runs again: what a choice, an edit and a new component make `dvc repro` do."""

import json
from pathlib import Path

import pytest

from flows.parameters.catalogue import component_packages
from tasks.contracts.trained import read_model
from tests.conftest import ROOT, Project
from tests.tasks.core.test_imported import install

pytestmark = pytest.mark.slow

MODEL = '''"""A linear model under another name."""

from typing import Any

from tasks.core.settings import Section


class Settings(Section):
    width: int = 3


def build(settings: Settings, shape: tuple[int, int, int], classes: int) -> Any:
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))
'''
COMPONENT = MODEL  # what the other folders expect of a file is asked only when it is chosen


def append(project: Project, file: str) -> None:
    """An edit that changes bytes and nothing else."""
    path = project.root / file
    path.write_text(path.read_text() + "\n# An edit.\n")


def test_a_new_component_is_one_file_and_runs_nothing(ran: Project) -> None:
    for package in component_packages(ROOT).values():
        (ran.root / package.replace(".", "/") / "another.py").write_text(COMPONENT)
    assert ran.repro() == set()
    assert ran.is_clean()


def test_a_new_model_is_chosen_by_its_name_and_earlier_models_still_load(ran: Project) -> None:
    (ran.root / "tasks/models/another.py").write_text(MODEL)
    described, _ = read_model(ran.root)
    assert described.model.name == "mlp"
    ran.edit("params.yaml", "{name: mlp, hidden: [64]}", "{name: another, width: 4}")
    assert ran.repro() == {"train", "compress", "evaluate", "explain", "diagnose", "report", "gates"}
    assert json.loads(ran.text("models/model.json"))["model"] == {"name": "another", "width": 4}


def test_an_edit_of_components_that_are_not_chosen_runs_nothing(ran: Project) -> None:
    for file in (
        "tasks/models/cnn.py",
        "tasks/learning/losses/mse.py",
        "tasks/learning/optimizers/sgd.py",
        "tasks/learning/schedules/cosine.py",
        "tasks/datasets/arrays.py",
    ):
        append(ran, file)
    assert ran.repro() == set()


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("tasks/datasets/digits.py", {"download", "preprocess", "report", "gates"}),
        ("tasks/diagnostics/checks/gap.py", {"diagnose", "report", "gates"}),
        ("tasks/train.py", {"train", "report", "gates"}),
    ],
)
def test_an_edit_runs_exactly_the_stages_that_use_the_file(ran: Project, file: str, stages: set[str]) -> None:
    """The report shows every statement, so it runs again when a statement names other code."""
    append(ran, file)
    assert ran.repro() == stages


def test_every_file_belongs_to_the_stages_that_use_it(ran: Project) -> None:
    """What DVC says it would run; the stages behind them follow from what these write."""
    uses = {
        "tasks/models/mlp.py": {"train", "compress", "evaluate", "explain", "diagnose", "report"},
        "tasks/learning/losses/cross_entropy.py": {"train"},
        "tasks/learning/optimizers/adam.py": {"train"},
        "tasks/learning/schedules/constant.py": {"train"},
        "tasks/attributions/saliency.py": {"explain"},
        "tasks/compression/prune.py": {"compress"},
        "tasks/statistics/intervals.py": {"compress", "evaluate", "diagnose"},
        "tasks/report.py": {"report"},
    }
    for file in (*uses, "tasks/charts/page.html"):
        append(ran, file)
    uses["tasks/charts"] = {"report"}  # a folder, as its templates are no modules
    status = json.loads(ran.run("dvc", "status", "--json").stdout)
    for file, stages in uses.items():
        assert {stage for stage, changes in status.items() if file in str(changes)} == stages, file


@pytest.mark.parametrize(
    ("old", "new", "stages"),
    [
        ("student: {name: linear} ", "student: {name: mlp} ", {"compress", "report", "gates"}),
        ("path: data/source/README.md ", "path: recipes ", {"download", "report", "gates"}),
    ],
)
def test_a_parameter_runs_the_stages_that_declare_it(ran: Project, old: str, new: str, stages: set[str]) -> None:
    ran.edit("params.yaml", old, new)
    assert ran.repro() == stages


def test_data_that_are_not_used_run_nothing(ran: Project) -> None:
    (ran.root / "data/source/birds").mkdir()
    (ran.root / "data/source/birds/1.png").write_bytes(b"not looked at")
    assert ran.repro() == set()


def test_an_experiment_chooses_drops_and_adds_options_through_dvc(ran: Project) -> None:
    ran.edit("params.yaml", "{name: adam, learning_rate: 0.01}", "{name: adam, learning_rate: 0.01, beta1: 0.8}")
    ran.run(
        "dvc",
        "exp",
        "run",
        "train",
        "-S",
        "train.optimizer.name=sgd",
        "-S",
        "~train.optimizer.beta1",
        "-S",
        "+train.optimizer.momentum=0.9",
    )
    assert "optimizer: {name: sgd, learning_rate: 0.01, momentum: 0.9}" in ran.text("params.yaml")
    assert "tasks/learning/optimizers/sgd.py" in ran.text("dvc.lock")
    assert "tasks/learning/optimizers/adam.py" not in ran.text("dvc.lock")


def test_an_option_that_is_left_over_names_its_owner_and_what_to_drop_in_both_doors(ran: Project) -> None:
    ran.edit("params.yaml", "{name: adam, learning_rate: 0.01}", "{name: adam, learning_rate: 0.01, beta1: 0.8}")
    owner = "radam, schedulefree_adamw, not of sgd; drop it (sgd has learning_rate, momentum, nesterov)"
    before = ran.text("params.yaml")
    refused = ran.run("python", "-m", "flows.cli", "run", "-S", "train.optimizer.name=sgd", check=False)
    assert refused.returncode == 1
    assert owner in refused.stderr
    assert "-S '~train.optimizer.beta1'" in refused.stderr
    assert ran.text("params.yaml") == before
    refused = ran.run("dvc", "exp", "run", "-S", "train.optimizer.name=sgd", check=False)
    assert refused.returncode != 0
    assert owner in refused.stdout + refused.stderr


def test_a_model_of_format_1_still_loads() -> None:
    import torch

    from tasks.learning.inference import Preparation, predict, rebuild

    described, weights = read_model(Path(__file__).parent / "stored/format-1")
    images = torch.arange(2 * 64, dtype=torch.uint8).view(2, 1, 8, 8)
    logits = predict(rebuild(described, weights), images, Preparation(described.mean, described.deviation))
    stored = json.loads((Path(__file__).parent / "stored/format-1/logits.json").read_text())
    assert torch.allclose(logits, torch.tensor(stored), atol=1e-5)


def test_a_dataset_and_a_model_of_installed_distributions_run_and_are_in_the_record(
    ran: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install(tmp_path / "site")))
    options = "options: {image_size: [3, 8, 8], num_classes: 3}, train: {size: 90}, test: {size: 30}, arguments: {}"
    ran.edit("params.yaml", "{name: digits}", f"{{name: imported, import: 'torchvision.datasets:FakeData', {options}}}")
    model = "{name: imported, import: 'flowers:Net', arguments: {labels: classes, shape: shape}}"
    ran.edit("params.yaml", "{name: mlp, hidden: [64]}", model)
    ran.run("python", "-m", "flows.cli", "check")
    ran.repro()
    assert ran.is_clean()
    assert json.loads(ran.text("models/model.json"))["model"]["version"] == "wild-flowers 1.2"
    statement = json.loads(ran.text("lineage/train.json"))["predicate"]["buildDefinition"]
    assert statement["internalParameters"]["resolvedParameters"]["train"]["model"]["import"] == "flowers:Net"
    recorded = {entry["name"]: entry.get("uri") for entry in statement["resolvedDependencies"]}
    assert "tasks/models/imported.py" in recorded
    assert recorded["wild-flowers"] == "pkg:pypi/wild-flowers@1.2"
