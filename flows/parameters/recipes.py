"""Recipes: what differs from the default, by name; one command writes the merged parameters into params.yaml."""

from pathlib import Path
from typing import Any

from flows.git import git_or_none
from flows.parameters.checking import check_params
from flows.parameters.writing import merged, with_values, write_params
from tasks.core.errors import GoodfitError, ParamsError, UnknownNameError
from tasks.core.settings import PARAMS_FILE, expected_names, load_yaml

FOLDER = Path("recipes")
DEFAULT = "digits"  # states every section, with comments; the other recipes state what differs from it


def recipe_names(root: Path) -> list[str]:
    """The recipes, sorted."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml"))


def describe_recipe(name: str, root: Path) -> str:
    """The first comment of a recipe: one sentence about it."""
    first = (root / FOLDER / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def use_recipe(name: str, root: Path, *, force: bool = False) -> None:
    """Write the default with the differences of `recipes/<name>.yaml` into params.yaml.

    Raises:
        UnknownNameError: there is no such recipe.
        ParamsError: what it gives is not valid.
        GoodfitError: params.yaml holds changes that Git does not have, and `force` is not given.
    """
    names = recipe_names(root)
    if name not in names:
        raise UnknownNameError(f"unknown recipe '{name}'; {expected_names(name, names)}")
    text, wanted = _merged(name, root)
    check_params(root, wanted, file=(FOLDER / f"{name}.yaml").as_posix())
    if not force and has_uncommitted_changes(root):
        raise GoodfitError(f"{PARAMS_FILE} has changes that are not committed; commit them, or overwrite them with --force")
    write_params(root / PARAMS_FILE, text, wanted)


def has_uncommitted_changes(root: Path) -> bool:
    """Whether params.yaml would be lost: it exists, and is neither the committed one nor what a recipe gives."""
    params = root / PARAMS_FILE
    if not params.exists():
        return False
    content = params.read_bytes()
    if any(content == with_values(*_merged(name, root)).encode() for name in recipe_names(root)):
        return False
    return git_or_none(root, "show", f"HEAD:./{PARAMS_FILE}") != content


def _merged(name: str, root: Path) -> tuple[str, dict[str, Any]]:
    """The text of the default, and the values that it gets."""
    default = root / FOLDER / f"{DEFAULT}.yaml"
    if not default.exists():
        raise ParamsError(
            f"{default} is missing; expected the default, which the other recipes differ from: restore it from Git"
        )
    differences = {} if name == DEFAULT else load_yaml(root / FOLDER / f"{name}.yaml")
    return default.read_text(encoding="utf-8"), merged(load_yaml(default), differences)
