"""The house rules of imports and names: dvc.yaml against what the code really does."""

import ast
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from flows.declaration import read_declarations
from flows.lineage.statement import PACKAGES
from tasks.contracts.params.download import OUTPUTS
from tests.conftest import ROOT, STAGES

DECLARED = read_declarations(ROOT)
FOLDERS = ("charts", "datasets", "diagnostics", "learning", "models")


def module_file(name: str) -> Path | None:
    """The file of a dotted module of this project."""
    path = ROOT / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


@cache
def imported(file: Path) -> frozenset[Path]:
    """The project's files that a file names in its import statements, wherever they stand, and their packages."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    parents = {".".join(name.split(".")[:end]) for name in names for end in range(1, name.count(".") + 2)}
    return frozenset(found for name in parents if name.split(".")[0] in {"tasks", "flows"} and (found := module_file(name)))


def reached(file: Path) -> set[Path]:
    """All that a file imports, directly or not."""
    found: set[Path] = set()
    waiting = {file}
    while waiting:
        current = waiting.pop()
        found.add(current)
        waiting |= imported(current) - found
    return found


def below(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def relative(files: set[Path]) -> set[str]:
    return {file.relative_to(ROOT).as_posix() for file in files}


@pytest.mark.parametrize("stage", STAGES)
def test_deps_hold_every_file_that_the_stage_imports_and_no_other(stage: str) -> None:
    # A package's own line (tasks/__init__.py, a docstring) decides nothing and is left out; those with code are held.
    needed = {
        name for name in relative(reached(ROOT / f"tasks/{stage}.py")) if len(ast.parse((ROOT / name).read_text()).body) > 1
    }
    declared = {dep for dep in DECLARED[stage].deps if dep.startswith("tasks/")}
    covered = {name for name in needed if name in declared or any(name.startswith(f"{dep}/") for dep in declared)}
    assert needed - covered == set(), "imported, but not in dvc.yaml"
    idle = {dep for dep in declared if not any(name == dep or name.startswith(f"{dep}/") for name in needed)}
    assert idle == set(), "in dvc.yaml, but not imported"


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_loads_when_it_runs_is_declared(stage: str, ran: object) -> None:
    root = ran.root  # type: ignore[attr-defined]
    script = (
        f"import sys; from tasks.{stage} import {stage} as run; run(); "
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'tasks'))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    loaded = {Path(file).relative_to(root).as_posix() for file in done.stdout.splitlines()[-1].split()}
    code = {name for name in loaded if len(ast.parse((root / name).read_text()).body) > 1}
    deps = DECLARED[stage].deps
    assert {name for name in code if not any(name == dep or name.startswith(f"{dep}/") for dep in deps)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_one_word_finds_everything(stage: str) -> None:
    assert list(DECLARED) == list(STAGES)
    tree = ast.parse((ROOT / f"tasks/{stage}.py").read_text())
    assert stage in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert DECLARED[stage].command == f"python -m flows.stage {stage}"
    assert stage in DECLARED[stage].params, "its section of params.yaml"
    assert f"lineage/{stage}.json" in DECLARED[stage].outs
    assert module_file(f"tasks.contracts.params.{stage}")


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_names_the_params_that_the_stage_reads(stage: str) -> None:
    def keys(name: str) -> set[str]:
        module = __import__(f"tasks.contracts.params.{name}", fromlist=["x"])
        return set(getattr(module, f"{name.capitalize()}Params").model_fields)

    source = (ROOT / f"tasks/{stage}.py").read_text()
    read = set().union(*(keys(name) for name in STAGES if f"read_params({name.capitalize()}Params" in source))
    assert read == set(DECLARED[stage].params)


def test_the_params_know_every_place_where_stages_write() -> None:
    written = {out for stage in DECLARED.values() for out in stage.outs}
    assert {out for out in written if not any(out == place or out.startswith(f"{place}/") for place in OUTPUTS)} == set()
    assert {place for place in OUTPUTS if not any(out == place or out.startswith(f"{place}/") for out in written)} == set()


def test_statements_name_every_package_that_reaches_the_outputs() -> None:
    only_read_or_shown = {"pydantic", "pydantic_core", "ruamel", "tqdm"}
    names = {
        name.split(".")[0]
        for file in below("tasks")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([str(node.module)] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    third_party = names - set(sys.stdlib_module_names) - {"tasks"} - only_read_or_shown
    packages = packages_distributions()
    assert {distribution.lower() for name in third_party for distribution in packages[name]} <= set(PACKAGES)


def test_stages_do_not_import_each_other() -> None:
    stages = {ROOT / f"tasks/{name}.py" for name in STAGES}
    for stage in stages:
        assert reached(stage) & stages == {stage}


def test_arrows_point_down() -> None:
    """flows → tasks/<stage>.py → contracts, folders; contracts know nothing of the rest."""
    for file in below("tasks"):
        assert not {name for name in relative(set(imported(file))) if name.startswith("flows/")}, f"{file} imports flows"
    for file in below("tasks/contracts"):
        outside = {
            n for n in relative(set(imported(file))) if not n.startswith("tasks/contracts/") and n != "tasks/__init__.py"
        }
        assert outside == set(), file
    stages = {f"tasks/{name}.py" for name in STAGES}
    for folder in FOLDERS:
        for file in below(f"tasks/{folder}"):
            assert not relative(set(imported(file))) & stages, f"{file} imports a stage"


@pytest.mark.parametrize("library", ["prefect", "dvc"])
def test_tasks_know_neither_prefect_nor_dvc(library: str) -> None:
    for file in below("tasks"):
        names = [
            alias.name if isinstance(node, ast.Import) else str(node.module)
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        ]
        assert not [name for name in names if name.split(".")[0] == library], file


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("flows.stage", {"prefect", "dvc", "torch", "torchvision", "pandas", "sklearn", "matplotlib"}),
        ("flows.gate", {"prefect", "torch", "torchvision", "pandas", "sklearn", "matplotlib"}),
        ("flows.cli", {"prefect", "dvc", "torch", "torchvision", "pandas", "sklearn", "matplotlib"}),
        *(
            (f"tasks.{stage}", {"prefect", "dvc", "torch", "torchvision", "pandas", "sklearn", "matplotlib"})
            for stage in STAGES
        ),
    ],
)
def test_importing_it_is_cheap(module: str, forbidden: set[str]) -> None:
    script = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & forbidden == set()


def test_declarations_are_read_as_dvc_reads_them() -> None:
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        for name, declared in DECLARED.items():
            (stage,) = repo.stage.collect(name)
            params = [dep for dep in stage.deps if dep.def_path == "params.yaml"]
            assert declared.command == stage.cmd
            assert set(declared.deps) == {dep.def_path for dep in stage.deps} - {"params.yaml"}
            assert set(declared.params) == {key for dep in params for key in dep.params}
            assert set(declared.outs) == {out.def_path for out in stage.outs}
