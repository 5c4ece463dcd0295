"""Recipes: complete params files that one command puts in place."""

import subprocess
from difflib import get_close_matches
from pathlib import Path

from tasks.contracts.errors import GoodfitError, ParamsError
from tasks.contracts.files import whole
from tasks.contracts.params import PARAMS_FILE
from tasks.contracts.params.pipeline import check_params

FOLDER = Path("recipes")


def recipe_names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml"))


def use_recipe(name: str, root: Path, *, force: bool = False) -> None:
    """Put `recipes/<name>.yaml` into params.yaml.

    Raises:
        ParamsError: there is no such recipe, or it is not valid.
        GoodfitError: params.yaml holds changes that Git does not have, and `force` is not given.
    """
    names = recipe_names(root)
    if name not in names:
        nearest = get_close_matches(name, names, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        raise ParamsError(f"unknown recipe '{name}'; expected one of {', '.join(names)}{hint}")
    recipe = root / FOLDER / f"{name}.yaml"
    check_params(recipe)
    if not force and has_uncommitted_changes(root):
        raise GoodfitError(f"{PARAMS_FILE} has changes that are not committed; commit them, or lose them with --force")
    with whole(root / PARAMS_FILE) as temporary:
        temporary.write_bytes(recipe.read_bytes())


def has_uncommitted_changes(root: Path) -> bool:
    """Whether params.yaml would be lost: it exists, and is neither HEAD's nor one of the recipes, byte for byte."""
    params = root / PARAMS_FILE
    if not params.exists():
        return False
    content = params.read_bytes()
    if any(content == (root / FOLDER / f"{name}.yaml").read_bytes() for name in recipe_names(root)):
        return False
    committed = subprocess.run(["git", "show", f"HEAD:./{PARAMS_FILE}"], cwd=root, capture_output=True, check=False)
    return committed.returncode != 0 or committed.stdout != content
