"""DVC's own commands on the pipeline: experiments, metrics, plots, the artifact; and a fresh clone."""

import csv
import json
import platform
import sys
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from flows.declaration import read_declarations
from flows.lineage.digest import digest_paths, directory_md5
from tasks.core.settings import load_yaml
from tests.conftest import ROOT, STAGES, Project

pytestmark = pytest.mark.slow

# Where the committed dvc.lock was written: other versions or another CPU may give other last digits.
LOCKED_ON = json.loads((ROOT / "tests/flows/locked_on.json").read_text())


def this_platform() -> dict[str, str]:
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "",
    )
    return {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system(), "cpu": cpu}


def test_metrics_show_is_a_table_of_numbers_and_the_verdict(ran: Project) -> None:
    metrics = json.loads(ran.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    evaluation, diagnosis = (metrics[f"metrics/{name}.json"]["data"] for name in ("evaluation", "diagnosis"))
    assert evaluation.keys() >= {"n", "accuracy", "accuracy_ci_low", "accuracy_ci_high", "log_loss", "ece"}
    assert diagnosis.keys() >= {"verdict", "flags", "gap", "overtrained", "overconfident"}
    assert all(isinstance(value, int | float) for value in (evaluation | diagnosis).values() if value != diagnosis["verdict"])


def test_plots_show_draws_every_plot(ran: Project) -> None:
    plots = json.loads(ran.run("dvc", "plots", "show", "--json").stdout)["data"]
    assert set(plots) == {"accuracy", "loss", "confusion", "reliability"}
    drawn = {
        name: json.loads(plot[0]["content"]) if isinstance(plot[0]["content"], str) else plot[0]["content"]
        for name, plot in plots.items()
    }
    assert len(drawn["loss"]["data"]["values"]) == 2 * 3  # train and val, three epochs
    assert len(drawn["confusion"]["data"]["values"]) == 539


def test_an_experiment_runs_what_changed_and_is_shown_with_its_parameter(ran: Project) -> None:
    ran.run("dvc", "exp", "run", "-n", "faster", "-S", "train.optimizer.learning_rate=0.02", "evaluate", "diagnose")
    rows = list(csv.DictReader(ran.run("dvc", "exp", "show", "--csv").stdout.splitlines()))
    rates = {row["Experiment"] or row["rev"]: row["train.optimizer.learning_rate"] for row in rows}
    assert (rates["faster"], rates["workspace"]) == ("0.02", "0.02")
    assert "0.01" in rates.values()  # the commit that it started from
    assert all(row["accuracy"] and row["verdict"] for row in rows)


def test_a_misspelt_experiment_is_refused_and_costs_nothing(ran: Project) -> None:
    """DVC itself refuses, after it has removed the stage's outputs: the file that dvc.yaml names through the parameter is missing."""
    before, outputs = ran.text("dvc.lock"), ran.outputs()
    refused = ran.run("dvc", "exp", "run", "-S", "train.optimizer.name=adm", check=False)
    assert refused.returncode != 0
    assert "tasks/learning/optimizers/adm.py" in refused.stderr + refused.stdout
    assert ran.text("dvc.lock") == before
    ran.run("git", "checkout", "params.yaml")
    ran.run("dvc", "checkout")
    assert ran.outputs() == outputs


def test_the_model_is_a_dvc_artifact(ran: Project) -> None:
    ran.run("git", "tag", "-a", "-m", "Register", "model@v1.0.0")  # as `gto register` does, for the model registry
    script = "import dvc.api; print(dvc.api.artifacts_show('model')['path'])"
    assert ran.run(sys.executable, "-c", script).stdout.strip() == "models/model.safetensors"


def test_the_users_own_images_are_watched(ran: Project) -> None:
    from PIL import Image

    folder = ran.root / "photos"
    for label, shade in (("dark", 30), ("light", 200)):
        (folder / label).mkdir(parents=True)
        for number in range(20):
            Image.new("L", (8, 8), shade + number).save(folder / label / f"{number}.png")
    ran.edit("params.yaml", "{name: digits}", "{name: image_folder}")
    ran.edit("params.yaml", "path: data/source/README.md ", "path: photos ")
    assert ran.repro() == set(STAGES)
    assert ran.repro() == set()
    Image.new("L", (8, 8), 7).save(folder / "dark" / "0.png")
    assert ran.repro("download") == {"download"}


def recorded(params: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The values of dotted keys, under those keys, as dvc.lock has them."""
    return {key: reduce(lambda section, part: section[part], key.split("."), params) for key in keys}


def test_the_committed_lock_is_that_of_the_committed_pipeline() -> None:
    """What does not depend on the platform, without a run; the next test runs it."""
    declarations, locked = read_declarations(ROOT), load_yaml(ROOT / "dvc.lock")["stages"]
    params = load_yaml(ROOT / "params.yaml")
    assert set(locked) == set(STAGES)
    for name, declared in declarations.items():
        entry = locked[name]
        assert entry["cmd"] == declared.command
        assert {item["path"] for item in entry["deps"]} == set(declared.deps)
        assert {item["path"] for item in entry["outs"]} == set(declared.outs)
        assert entry.get("params", {}).get("params.yaml", {}) == recorded(params, declared.params)
        code = [path for path in declared.deps if path.startswith("tasks/")]
        files = digest_paths(ROOT, code)
        now = {path: files[path].md5 if path in files else directory_md5(files, path) for path in code}
        assert {item["path"]: item["md5"] for item in entry["deps"] if item["path"] in code} == now


def test_a_fresh_clone_reproduces_the_committed_lock_byte_for_byte(tmp_path: Path, fresh: Project) -> None:
    here = this_platform()
    if here != LOCKED_ON:
        pytest.skip(f"the committed dvc.lock was written on {LOCKED_ON}; this is {here}")
    clone = Project(tmp_path / "clone")
    fresh.run("git", "clone", "-q", str(ROOT), str(clone.root))
    clone.repro()
    assert clone.run("git", "status", "--short").stdout == ""
    verified = clone.run("python", "-m", "flows.cli", "lineage", "verify")
    assert verified.stdout.startswith("proven: ")
    assert (clone.root / "report/index.html").stat().st_size > 10_000
