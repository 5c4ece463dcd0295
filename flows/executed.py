"""What this process has executed: the files of its modules, and the libraries that are mapped into it."""

import site
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
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


def executed() -> set[Path]:
    """Of every loaded module the file that it says it is and the one that it was found at, and every mapped library; links followed."""
    found: set[object] = set()
    for module in list(sys.modules.values()):
        known = getattr(module, "__dict__", {})  # getattr on the module itself would load what some load when first asked for
        found |= {known.get("__file__"), getattr(known.get("__spec__"), "origin", None)}
    files = {
        Path(file).resolve() for file in found if isinstance(file, str) and (Path(file).is_absolute() or Path(file).is_file())
    }
    return files | {Path(file) for file in _mapped()}


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


def is_installed(root: Path, path: Path) -> bool:
    """Whether a file, links followed, lies where Python and the installed packages are, which may be below `root`."""
    return any(path.is_relative_to(folder) for folder in _environment(root)) and path.stem not in CUSTOM


def _digest(path: Path) -> Digest:
    digests = compiled.get(path)
    return Digest(sha256=digests[0], md5=digests[1]) if digests else digest_file(path)


def _of_repository(root: Path) -> dict[str, Path]:
    """By path relative to the repository: what was loaded from it, without a .venv inside of it."""
    own = {path for path in executed() if path.is_relative_to(root) and not is_installed(root, path)}
    return {path.relative_to(root).as_posix(): path for path in own}


def _mapped() -> Iterator[str]:
    """On Linux, the files whose code is mapped into this process."""
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(maxsplit=5)  # address, permissions, offset, device, inode, path
            if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
                yield fields[5]


@cache
def _environment(root: Path) -> tuple[Path, ...]:
    """Where the standard library and the installed packages lie; a prefix such as /usr that the repository lies below is none."""
    paths = get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {paths[name] for name in names} | {sys.prefix, sys.base_prefix, sys.exec_prefix, site.getusersitepackages()}
    resolved = {Path(folder).resolve() for folder in folders if folder}
    targets = {Path(entry).resolve() for entry in sys.path if entry} - resolved  # `pip install --target`, named in PYTHONPATH
    resolved |= {folder for folder in targets if not folder.is_relative_to(root) and any(folder.glob("*.dist-info"))}
    return tuple(folder for folder in resolved if not root.is_relative_to(folder))
