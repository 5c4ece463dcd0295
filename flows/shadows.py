"""No file of the repository may take the place of a library: `import torch` would run it, wherever the word stands in the code."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from sysconfig import get_paths

from flows.executed import is_installed
from tasks.core.errors import GoodfitError

LIBRARIES = {".so", ".pyd"}
# The repository's own packages; a distribution that brings one of these names along by mistake changes nothing.
OWN = {"benchmarks", "docs", "flows", "tasks", "tests"}


class ShadowError(GoodfitError):
    """A file of the repository would be imported in place of a library."""


def refuse_shadows(root: Path) -> None:
    """Look at the folders of the repository in which Python looks for modules.

    Raises:
        ShadowError: there is a module with the name of one of the standard library, or of an installed distribution.
    """
    places = sorted({Path(entry or ".").resolve() for entry in sys.path})
    inside = [place for place in places if place.is_relative_to(root) and not is_installed(root, f"{place}{os.sep}")]
    installed = {entry for key in ("purelib", "platlib") for entry in os.listdir(get_paths()[key])}  # noqa: PTH208 - names
    libraries = {entry.partition(".")[0] for entry in installed} - OWN
    for place in inside:
        for name, path in _modules(place):
            if name in libraries or name in sys.stdlib_module_names:
                owner = "the standard library's" if name in sys.stdlib_module_names else "the installed"
                raise ShadowError(
                    f"{path.relative_to(root).as_posix()} would be run in place of {owner} {name}, by every `import {name}`: rename it"
                )


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """The modules and packages in a folder, by name; a folder without `__init__` comes after every module elsewhere."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix == ".py" or path.suffix in LIBRARIES:
            yield path.name.partition(".")[0], path
        elif path.is_dir() and any(path.glob("__init__.*")):
            yield path.name, path
