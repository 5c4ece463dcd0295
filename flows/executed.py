"""What this process has executed: the files of its modules, and the libraries that are mapped into it."""

import os
import site
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from sysconfig import get_paths

from flows.lineage.digest import digest_file
from flows.sources import compiled
from tasks.contracts.statement import Digest

# What goodfit decides and records with. Of `tasks` it uses a few modules itself, such as the one that knows the shape of statements.
BUILDER, USED = "flows/", "tasks/"
# Python runs them at its start wherever it finds them; they are in no wheel.
CUSTOM = ("sitecustomize", "usercustomize")


@dataclass(frozen=True)
class Executed:
    """What ran: files without those that are installed, and which of the repository's goodfit itself uses."""

    files: frozenset[Path]
    used: frozenset[str]


def used_by_builder(root: Path) -> frozenset[str]:
    """The code that has run so far; asked before any code of a stage is loaded, it is what goodfit itself uses."""
    names = (path.relative_to(root).as_posix() for path in _files(root) if path.is_relative_to(root))
    return frozenset(name for name in names if name.startswith((BUILDER, USED)))


def executed(root: Path, used: frozenset[str]) -> Executed:
    """What has run by now; `used` is what `used_by_builder` said."""
    return Executed(frozenset(_files(root)), used)


def builder_files(root: Path, code: Executed, inputs: Collection[str]) -> dict[str, Digest]:
    """The code of goodfit itself that ran, with the digests of the very bytes that were compiled; sorted by path.

    Args:
        root: the repository.
        code: what ran.
        inputs: the files that the stage declares, which are listed as such.
    """
    own = {path.relative_to(root).as_posix(): path for path in code.files if path.is_relative_to(root)}
    names = sorted(name for name in own if (name.startswith(BUILDER) or name in code.used) and name not in inputs)
    return {name: _digest(own[name]) for name in names}


def loose_files(root: Path, names: Iterable[str]) -> list[Path]:
    """The files of loaded modules, including their loaded submodules, that lie where packages are installed."""
    wanted = set(names)
    modules = (module for name, module in list(sys.modules.items()) if name.partition(".")[0] in wanted)
    files = (getattr(module, "__dict__", {}).get("__file__") for module in modules)
    places = {Path(file).resolve() for file in files if isinstance(file, str) and is_installed(root, file)}
    return sorted(place for place in places if place.is_file())


def is_installed(root: Path, path: str) -> bool:
    """Whether a file lies where Python and the installed packages are, which may be below `root`."""
    return path.startswith(_environment(root)) and os.path.basename(path).partition(".")[0] not in CUSTOM  # noqa: PTH119 - thousands


def _digest(path: Path) -> Digest:
    digests = compiled.get(path)
    return Digest(sha256=digests[0], md5=digests[1]) if digests else digest_file(path)


def _mapped() -> Iterator[str]:
    """On Linux, the files whose code is mapped into this process."""
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(maxsplit=5)  # address, permissions, offset, device, inode, path
            if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
                yield fields[5]


def _files(root: Path) -> set[Path]:
    """The files that modules say they are and were found at, and mapped libraries; links followed, without those that are installed."""
    found: set[object] = set(_mapped())
    for module in list(sys.modules.values()):
        known = getattr(module, "__dict__", {})  # getattr on the module itself would load what some load when first asked for
        found |= {known.get("__file__"), getattr(known.get("__spec__"), "origin", None)}
    files = {Path(file) for file in found if isinstance(file, str) and not is_installed(root, file)}
    resolved = {file.resolve() for file in files if file.is_absolute() or file.is_file()}
    return {file for file in resolved if not is_installed(root, str(file))}


@cache
def _environment(root: Path) -> tuple[str, ...]:
    """Where the standard library and the installed packages lie, links followed and not; not a folder that the repository lies in."""
    paths = get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {paths[name] for name in names} | {sys.prefix, sys.base_prefix, sys.exec_prefix, site.getusersitepackages()}
    # `pip install --target`, named in PYTHONPATH
    folders |= {entry for entry in sys.path if entry and not _is_below(entry, root) and any(Path(entry).glob("*.dist-info"))}
    either = {str(place) for folder in folders for place in (Path(folder), Path(folder).resolve())}
    return tuple(f"{folder}{os.sep}" for folder in sorted(either) if not root.is_relative_to(folder))


def _is_below(path: str, root: Path) -> bool:
    return Path(path).resolve().is_relative_to(root)
