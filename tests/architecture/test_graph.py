"""The house rules of imports and names: dvc.yaml against what the code really does."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import grimp
import pytest
from packaging.utils import canonicalize_name

from benchmarks.stages import params_of
from flows.declaration import read_declarations
from flows.dependencies import code_of
from flows.lineage.packages import PACKAGES, TOOLS
from tasks.core.settings import load_yaml
from tasks.download import OUTPUTS
from tests.conftest import FEW_CHECKS, NO_METHODS, ROOT, STAGES, Project

DECLARED = read_declarations(ROOT)
STATED = load_yaml(ROOT / "dvc.yaml")["stages"]
FOLDERS = sorted(place.parent.name for place in (ROOT / "tasks").glob("*/__init__.py"))
DEVELOPMENT = {"flows.dependencies"}  # commands for those who work on the pipeline
GRAPH = grimp.build_graph("tasks", "flows", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None)


def reached(module: str) -> set[str]:
    return {module} | GRAPH.find_upstream_modules(module)


def below(package: str) -> set[str]:
    return {package} | GRAPH.find_descendants(package)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_hold_every_file_that_the_stage_imports_and_no_other(stage: str) -> None:
    stated = [dep for dep in STATED[stage]["deps"] if dep.startswith("tasks/")]
    assert stated == code_of(stage, ROOT), "run `make deps`"


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_loads_when_it_runs_is_declared(stage: str, ran: Project) -> None:
    # The fixture leaves out most checks and all methods. Pruning alone takes a third of the three, which the test above compares.
    ran.edit("params.yaml", FEW_CHECKS, "")
    ran.edit("params.yaml", f"\nexplain:\n{NO_METHODS}", "\nexplain:\n")
    ran.edit("params.yaml", "\ncompress:\n  methods: []", "\ncompress:\n  methods: [prune]")
    script = (
        "import sys; from pathlib import Path; from benchmarks.stages import call; before = set(sys.modules); "
        f"call({stage!r}, Path()); names = {{n for n in set(sys.modules) - before if n.startswith('tasks.')}}; "
        "print(*(sys.modules[n].__file__ for n in names))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ran.root, capture_output=True, text=True, check=True)
    loaded = {Path(file).relative_to(ran.root).as_posix() for file in done.stdout.splitlines()[-1].split()}
    assert f"tasks/{stage}.py" in loaded or stage in ("download", "preprocess")
    code = {name for name in loaded if len(ast.parse((ran.root / name).read_text()).body) > 1}
    deps = DECLARED[stage].deps
    assert {name for name in code if not any(name == dep or name.startswith(f"{dep}/") for dep in deps)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_one_word_finds_everything(stage: str) -> None:
    tree = ast.parse((ROOT / f"tasks/{stage}.py").read_text())
    assert stage in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert DECLARED[stage].command == f"python -m flows.stage {stage}"
    assert stage in DECLARED[stage].params, "its section of params.yaml"
    assert f"lineage/{stage}.json" in DECLARED[stage].outs


def test_a_file_beside_the_folders_is_a_stage() -> None:
    files = {file.stem for file in (ROOT / "tasks").glob("*.py")} - {"__init__"}
    assert files == set(STAGES) == set(DECLARED)


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_names_the_params_that_the_stage_reads(stage: str) -> None:
    def keys(section: Any, prefix: str = "") -> set[str]:
        """Dotted keys, down to the depth at which dvc.yaml names them."""
        names = {f"{prefix}{name}" for name in type(section).model_fields}
        deeper = {key for key in names if any(declared.startswith(f"{key}.") for declared in DECLARED[stage].params)}
        return names - deeper | {inner for key in deeper for inner in keys(getattr(section, key.rpartition(".")[2]), f"{key}.")}

    assert keys(params_of(stage, ROOT)) == set(DECLARED[stage].params)


def test_the_download_knows_every_place_where_stages_write() -> None:
    written = {out for stage in DECLARED.values() for out in stage.outs}
    assert {out for out in written if not any(out == place or out.startswith(f"{place}/") for place in OUTPUTS)} == set()
    assert {place for place in OUTPUTS if not any(out == place or out.startswith(f"{place}/") for out in written)} == set()


def test_statements_name_every_package_that_reaches_the_outputs() -> None:
    names = {
        imported.split(".")[0]
        for module in below("tasks")
        for imported in GRAPH.find_modules_directly_imported_by(module)
        if imported.split(".")[0] not in {"tasks", "flows"}
    }
    third_party = names - set(sys.stdlib_module_names) - TOOLS
    packages = packages_distributions()
    assert {distribution.lower() for name in third_party for distribution in packages[name]} <= set(PACKAGES)


def test_every_library_that_is_imported_is_declared() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    development = {canonicalize_name(Requirement(line).name) for line in project["optional-dependencies"]["dev"]}
    # An extra is imported where it is used, by a command that says how to install it; it may be missing here.
    extras = {
        canonicalize_name(Requirement(line).name)
        for extra, lines in project["optional-dependencies"].items()
        if extra not in {"dev", "bench"}
        for line in lines
    }
    packages = packages_distributions()
    missing: dict[str, set[str]] = {}
    for module in below("tasks") | below("flows"):
        allowed = declared | extras | (development if module in DEVELOPMENT else set())
        names = {name.split(".")[0] for name in GRAPH.find_modules_directly_imported_by(module)}
        third_party = names - set(sys.stdlib_module_names) - {"tasks", "flows"}
        owners = {name: {canonicalize_name(owner) for owner in packages.get(name, [name])} for name in third_party}
        undeclared = {name for name in third_party if not owners[name] & allowed}
        if undeclared:
            missing[module] = undeclared
    assert missing == {}


def test_stages_do_not_import_each_other() -> None:
    stages = {f"tasks.{name}" for name in STAGES}
    for stage in stages:
        assert reached(stage) & stages == {stage}


def test_arrows_point_down() -> None:
    """flows → tasks/<stage>.py → contracts, folders → core; contracts know no folder. Imports of types alone do not count."""
    assert {module for module in below("tasks") if any(name.startswith("flows") for name in reached(module))} == set()
    for module in below("tasks.core"):
        assert {name for name in reached(module) if name.startswith("tasks.")} <= below("tasks.core"), module
    for module in below("tasks.contracts"):
        allowed = below("tasks.contracts") | below("tasks.core")
        assert {name for name in reached(module) if name.startswith("tasks.")} <= allowed, module
    stages = {f"tasks.{name}" for name in STAGES}
    for folder in FOLDERS:
        for module in below(f"tasks.{folder}"):
            assert not reached(module) & stages, f"{module} imports a stage"


def test_no_two_modules_of_flows_import_each_other() -> None:
    modules = below("flows")
    pairs = {
        tuple(sorted((one, other)))
        for one in modules
        for other in GRAPH.find_modules_directly_imported_by(one) & modules
        if one in GRAPH.find_modules_directly_imported_by(other)
    }
    assert pairs == set()


@pytest.mark.parametrize("library", ["prefect", "dvc"])
def test_tasks_know_neither_prefect_nor_dvc(library: str) -> None:
    importing = {name for name in below("tasks") if library in GRAPH.find_modules_directly_imported_by(name)}
    assert importing == set()


COMMAND = re.compile(r"\b(dvc|prefect|goodfit) [a-z]|python -m flows|`make")
# The report is read by people who have not run it, far from the project: it has to say how its own numbers are checked and compared.
ALLOWED = {"tasks/charts/page.html": ["goodfit lineage verify", "goodfit lineage diff"]}


def test_the_messages_of_tasks_name_no_command() -> None:
    named: dict[str, list[str]] = {}
    for file in sorted(file for file in (ROOT / "tasks").rglob("*") if file.suffix in {".py", ".html"}):
        found = [line for text in shown_texts(file) for line in text.splitlines() if COMMAND.search(line)]
        allowed = ALLOWED.get(path := file.relative_to(ROOT).as_posix(), [])
        if named_here := [line for line in found if not any(one in line for one in allowed)]:
            named[path] = named_here
    assert named == {}


def shown_texts(file: Path) -> list[str]:
    """What of a file a user may read: a template whole; of code each string that is no docstring."""
    if file.suffix != ".py":
        return [file.read_text()]
    nodes = list(ast.walk(ast.parse(file.read_text())))
    documented = (ast.Module, ast.FunctionDef, ast.ClassDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in nodes if isinstance(node, documented)}
    strings = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in strings if text not in docstrings]


HEAVY = {"torch", "torchvision", "pandas", "sklearn", "matplotlib", "PIL"}


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("flows.stage", {"prefect", "dvc", *HEAVY}),
        ("flows.gate", {"prefect", *HEAVY}),
        ("flows.cli", {"prefect", "dvc", *HEAVY}),
        *((f"tasks.{stage}", {"prefect", "dvc", *HEAVY}) for stage in STAGES),
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
