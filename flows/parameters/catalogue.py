"""What can be chosen: the components of each folder, with their options, read from their files."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

from flows.parameters.checking import own_stages
from tasks.core.components import Component, choices
from tasks.core.errors import UnknownNameError
from tasks.core.settings import Section, expected_names, keys_of


def catalogue(root: Path, kind: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """The components by kind (`models`, `optimizers`, …), each with its name, description and file, its options and which are required.

    Raises:
        UnknownNameError: there is no such kind.
    """
    packages = component_packages(root)
    if kind is not None and kind not in packages:
        raise UnknownNameError(f"unknown kind '{kind}'; {expected_names(kind, list(packages))}")
    return {name: _components(root, package) for name, package in packages.items() if kind in (None, name)}


def component_packages(root: Path) -> dict[str, str]:
    """The folders of components, found in the sections of the stages: `{"models": "tasks.models", …}`."""
    found: dict[str, str] = {}
    for name in own_stages(root):
        for _, component, _ in choices(import_module(f"tasks.{name}").Params):
            found[component.package.rpartition(".")[2]] = component.package
    return found


def _components(root: Path, package: str) -> list[dict[str, Any]]:
    component = Component(package)
    folder = root / package.replace(".", "/")
    return [_described(folder / f"{name}.py", name, root, component.settings(name)) for name in component.names()]


def _described(file: Path, name: str, root: Path, settings: type[Section]) -> dict[str, Any]:
    documentation = ast.get_docstring(_tree(file)) or ""
    return {
        "name": name,
        "description": documentation.partition("\n")[0],
        "file": file.relative_to(root).as_posix(),
        "options": _options(settings),
        "required": [key for key, field in keys_of(settings).items() if field.is_required()],
    }


def _options(settings: type[Section]) -> dict[str, Any]:
    """Each option with its default; None where a value has to be stated."""
    fields = keys_of(settings).items()
    return {key: None if field.is_required() else field.get_default(call_default_factory=True) for key, field in fields}


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
