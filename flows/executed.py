"""What this process has executed: the modules that came from the repository, and those that came from somewhere else."""

import sys
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from sysconfig import get_paths

from flows.lineage.digest import digest_file
from flows.sources import compiled
from tasks.contracts.statement import Digest

# What goodfit decides and records with. Of `tasks` it uses a few modules itself, such as the one that knows the shape of statements.
BUILDER, USED = "flows/", "tasks/"


def used_by_builder(root: Path) -> frozenset[str]:
    """The code that has run so far; asked before any code of a stage is loaded, it is what goodfit itself uses."""
    return frozenset(name for name in _of_repository(root) if name.startswith((BUILDER, USED)))


def builder_files(root: Path, used: Collection[str], inputs: Collection[str]) -> dict[str, Digest]:
    """The code of goodfit itself that ran, with the digests of the very bytes that were compiled; sorted by path.

    Args:
        root: the repository.
        used: what `used_by_builder` said.
        inputs: the files that the stage declares, which are listed there.
    """
    ran = _of_repository(root)
    names = sorted(name for name in ran if (name.startswith(BUILDER) or name in used) and name not in inputs)
    return {name: _digest(ran[name]) for name in names}


def undeclared_modules(root: Path, used: Collection[str], inputs: Collection[str]) -> list[str]:
    """The files of the repository that ran and are neither declared nor of goodfit itself; sorted."""
    known = {(root / name).resolve() for name in inputs}
    ran = _of_repository(root)
    return sorted(name for name, path in ran.items() if path not in known and name not in used and not name.startswith(BUILDER))


def foreign_modules(root: Path) -> list[Path]:
    """The files that ran and belong neither to the repository nor to Python nor to an installed package; sorted."""
    return sorted(path for path in _files() if not path.is_relative_to(root) and not is_installed(root, path))


def is_installed(root: Path, path: Path) -> bool:
    """Whether a file, links followed, lies where Python and the installed packages are, which may be below `root`."""
    return any(path.is_relative_to(folder) for folder in _environment(root))


def _digest(path: Path) -> Digest:
    digests = compiled.get(path)
    return Digest(sha256=digests[0], md5=digests[1]) if digests else digest_file(path)


def _of_repository(root: Path) -> dict[str, Path]:
    """By path relative to the repository: what was loaded from it, without a .venv inside of it."""
    return {
        path.relative_to(root).as_posix(): path
        for path in _files()
        if path.is_relative_to(root) and not is_installed(root, path)
    }


def _files() -> Iterator[Path]:
    """Of every loaded module the file that it says it is and the one that it was found at."""
    found = set()
    for module in list(sys.modules.values()):
        known = getattr(module, "__dict__", {})  # getattr on the module itself would load what some load when first asked for
        found |= {known.get("__file__"), getattr(known.get("__spec__"), "origin", None)}
    return (Path(file).resolve() for file in found if isinstance(file, str) and _is_path(file))


def _is_path(origin: str) -> bool:
    """Not "built-in", "frozen" or "<string>"."""
    return Path(origin).is_absolute() or Path(origin).is_file()


@cache
def _environment(root: Path) -> tuple[Path, ...]:
    """Where the standard library and the installed packages lie; a prefix such as /usr that the repository lies below is none."""
    paths = get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {paths[name] for name in names} | {sys.prefix, sys.base_prefix, sys.exec_prefix}
    resolved = {Path(folder).resolve() for folder in folders if folder}
    return tuple(folder for folder in resolved if not root.is_relative_to(folder))
