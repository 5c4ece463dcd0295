"""Components: over every folder, each file is one; a new file is a new name and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.components import Choice, Component
from tasks.core.errors import GoodfitError
from tests.conftest import ROOT

FOLDERS = {
    "tasks.models": ["build"],
    "tasks.learning.losses": ["build"],
    "tasks.learning.optimizers": ["build"],
    "tasks.learning.schedules": ["build"],
    "tasks.learning.augmentations": ["build"],
    "tasks.learning.mixing": ["build"],
    "tasks.learning.averaging": ["build"],
    "tasks.datasets": ["fetch", "load"],
}
REQUIRED = {"imported": {"import": "torch.nn:Module"}}  # what has to be stated of a component
COMPONENTS = [(package, name) for package in FOLDERS for name in Component(package).names()]


@pytest.mark.parametrize(("package", "name"), COMPONENTS)
def test_every_file_is_a_component_with_defaults_and_a_sentence(package: str, name: str) -> None:
    choice = Component(package).choose({"name": name, **REQUIRED.get(name, {})})
    assert isinstance(choice, Choice)
    assert choice.resolved()["name"] == name
    assert [part for part in FOLDERS[package] if not callable(getattr(choice.module, part, None))] == []
    assert str(choice.module.__doc__).strip().partition("\n")[0].endswith(".")


@pytest.mark.parametrize(("package", "name"), COMPONENTS)
def test_a_choice_reads_back_from_what_it_resolves_to(package: str, name: str) -> None:
    component = Component(package)
    choice = component.choose({"name": name, **REQUIRED.get(name, {})})
    assert component.choose(choice.resolved()) == choice


@pytest.mark.parametrize("package", FOLDERS)
def test_checking_a_choice_imports_no_heavy_library(package: str) -> None:
    script = (
        f"import sys; from tasks.core.components import Component; c = Component({package!r}); "
        f"[c.choose({{'name': name, **{REQUIRED!r}.get(name, {{}})}}) for name in c.names()]; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"torch", "torchvision", "numpy", "pandas", "sklearn", "matplotlib", "PIL", "prefect", "dvc", "scipy"}
    assert set(done.stdout.split()) & heavy == set()


def test_only_the_chosen_file_is_imported() -> None:
    script = (
        "import sys; from tasks.core.components import Component; "
        "Component('tasks.learning.optimizers').choose({'name': 'sgd'}); "
        "print(*(name for name in sys.modules if name.startswith('tasks.learning.optimizers.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tasks.learning.optimizers.sgd"]


def test_a_file_without_settings_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "colours").mkdir()
    (tmp_path / "colours/__init__.py").touch()
    (tmp_path / "colours/red.py").write_text("def build() -> None: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    component = Component("colours")
    assert component.names() == ["red"]
    with pytest.raises(GoodfitError, match=r"colours/red\.py has no class `Settings`"):
        component.choose({"name": "red"})
