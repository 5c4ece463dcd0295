"""The code of `tasks`, and in a stage's process all of the repository's, compiled from the very bytes that are hashed.

Python would take a module's bytecode from __pycache__ wherever size and mtime of the source still match, and keeps the first version
of a module that a process imports. Either way the code that runs need not be the file that is sealed. So `tasks` is always compiled
from source, and what was compiled is remembered.

That each stage is a fresh process makes neither part superfluous. It still reads bytecode, and it imports code (the parameters' models)
before it can seal. Python's own switches are no smaller: `sys.pycache_prefix` holds for the libraries too (importing torch and pandas
took 4.3 s in place of 1.8 s), `--check-hash-based-pycs` leaves bytecode that is checked by mtime alone, and `dont_write_bytecode` only
stops writing.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

ROOT = str(Path(__file__).resolve().parent.parent)
# In a stage's process all code of the repository; elsewhere `flows` may come from bytecode: the commands import more of it.
IN_STAGE = "flows.stage" in sys.orig_argv
PACKAGES = ("tasks", "flows") if IN_STAGE else ("tasks",)

# SHA-256 and MD5 of each source file as this process compiled it.
compiled: dict[Path, tuple[str, str]] = {}


class FromSource(SourceFileLoader):
    """Reads no bytecode and writes none."""

    def get_code(self, fullname: str) -> CodeType | None:
        source = self.get_data(self.path)
        md5 = hashlib.md5(source, usedforsecurity=False)
        compiled[Path(self.path).resolve()] = (hashlib.sha256(source).hexdigest(), md5.hexdigest())
        return self.source_to_code(source, self.path)


class Finder(MetaPathFinder):
    """Python's own finder, with the loader above for the code that is listed."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package = fullname.partition(".")[0]
        named = package in PACKAGES
        if not (named or (IN_STAGE and _may_be_own(package, path))):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return spec if named else None
        if not (named or _is_own(spec.loader.path)):
            return None
        spec.loader = FromSource(fullname, spec.loader.path)
        return spec


def _may_be_own(package: str, path: Sequence[str] | None) -> bool:
    """Whether a module might lie in the repository: not one of the standard library, nor one within a package from elsewhere."""
    return any(map(_is_own, path)) if path is not None else package not in sys.stdlib_module_names


def _is_own(path: str) -> bool:
    return path.startswith(ROOT + os.sep) and not (sys.prefix != ROOT and path.startswith(sys.prefix + os.sep))


def watch() -> None:
    """From now on; `flows/__init__.py` calls it, before any module of `flows` imports one of `tasks`."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
