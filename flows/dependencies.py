"""`make deps`: write into dvc.yaml what each stage's code really imports. The graph test holds the two to each other.

A stage depends on every file that it imports, directly or not, and on the `__init__.py` of every package on the way: a stage fails
where code of tasks/ has run that is not declared. Of a folder of components it depends on the chosen file alone, which dvc.yaml finds
through `${…}`: `tasks/models/${train.model.name}.py`. What any component of the folder imports counts for all of them.
"""

import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import grimp
from pydantic import BaseModel

from flows.parameters.checking import own_stages
from flows.repository import PIPELINE_FILE
from tasks.core.components import Component, choices

# Small, stable, and used by everything: one dependency.
WHOLE = ("tasks.core",)


def code_of(stage: str, root: Path) -> list[str]:
    """The files and folders of code, as dvc.yaml should list them for `stage`, sorted."""
    modules, components = _closure(f"tasks.{stage}")
    paths = {_path(module, root) for module in modules}
    for component in components:
        folder = component.package.replace(".", "/")
        for key, listed in _choosing(stage, component.package, root):
            paths |= {f"{folder}/{name}.py" for name in component.names()} if listed else {f"{folder}/${{{key}.name}}.py"}
    return sorted(path for path in paths if not any(parent.as_posix() in paths for parent in Path(path).parents))


def _closure(module: str) -> tuple[set[str], set[Component]]:
    """Every module that is reached, with the packages that hold them, and every folder of components that is chosen from."""
    graph = _graph()
    components: set[Component] = set()
    reached: set[str] = set()
    waiting = {module}
    while waiting:
        current = waiting.pop()
        reached.add(current)
        found = {name for name in graph.find_modules_directly_imported_by(current) if name.startswith("tasks")}
        for component in _components_of(current):
            if component not in components:
                components.add(component)
                for name in component.names():
                    found |= graph.find_modules_directly_imported_by(f"{component.package}.{name}")
        packages = {component.package for component in components}
        found |= packages | {parent for name in {current, *found, *packages} for parent in _packages(name)}
        waiting |= {name for name in found if name.partition(".")[0] == "tasks"} - reached
    chosen = {f"{component.package}.{name}" for component in components for name in component.names()}
    return reached - chosen, components


@cache
def _graph() -> Any:
    # Without grimp's cache, which goes by times: a file that Git replaces within a second keeps its old imports.
    return grimp.build_graph("tasks", include_external_packages=False, exclude_type_checking_imports=True, cache_dir=None)


def _packages(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts)))


def _components_of(module: str) -> set[Component]:
    """The folders of components that the settings and the stored models of a module choose from."""
    return {component for _, component, _ in _choices(module)}


def _choices(module: str) -> Iterator[tuple[str, Component, bool]]:
    """Key, folder and whether it is a list, of every choice in the models that a module defines."""
    for found in vars(import_module(module)).values():
        if isinstance(found, type) and issubclass(found, BaseModel) and found.__module__ == module:
            yield from choices(found)


@cache
def _stated(root: Path) -> dict[str, list[tuple[str, str, bool]]]:
    """By folder of components: stage, key of params.yaml and whether that is a list, wherever one is chosen from it."""
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for stage in own_stages(root):
        for key, component, listed in choices(import_module(f"tasks.{stage}").Params):
            found.setdefault(component.package, []).append((stage, key, listed))
    return found


def _choosing(stage: str, package: str, root: Path) -> set[tuple[str, bool]]:
    """The keys whose choice the stage runs: the first that chooses from the folder, whose choice other stages read, and its own."""
    first, *others = _stated(root)[package]
    return {(key, listed) for owner, key, listed in (first, *(other for other in others if other[0] == stage))}


def _path(module: str, root: Path) -> str:
    whole = next((package for package in WHOLE if module == package or module.startswith(f"{package}.")), None)
    path = (whole or module).replace(".", "/")
    if (root / path).is_dir():
        return path if whole else f"{path}/__init__.py"
    folder = (root / path).parent
    data = [file for file in folder.iterdir() if file.is_file() and file.suffix != ".py"]
    return folder.relative_to(root).as_posix() if data else f"{path}.py"  # templates are read beside their module


def write(root: Path) -> bool:
    """Bring the code among the `deps` of dvc.yaml up to date; return whether anything changed."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    path = root / PIPELINE_FILE
    text = path.read_text(encoding="utf-8")
    document = yaml.load(text)
    for stage in own_stages(root):
        deps = document["stages"][stage]["deps"]
        data = [dep for dep in deps if not dep.startswith("tasks/")]
        deps[:] = sorted([*data, *code_of(stage, root)])
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    return path.read_text(encoding="utf-8") != text


def main() -> int:
    """The command: say whether dvc.yaml was changed."""
    root = Path.cwd()
    print("dvc.yaml is written anew" if write(root) else "dvc.yaml is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
