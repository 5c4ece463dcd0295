"""What a stage read or ran that nothing declares.

In the repository it fails the stage: an edit of such a file would not run the stage again, and no statement would list it. A file from
elsewhere is listed in the statement with its digest. Files of libraries and of the system are neither: packages are listed as such.
"""

import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from sysconfig import get_paths
from urllib.parse import unquote, urlsplit

from flows.declaration import Declaration, read_declarations, upstream
from flows.executed import BUILDER, Executed, is_installed
from flows.lineage.digest import digest_file
from flows.reads import BYTECODE
from tasks.contracts.statement import FOLDER, Digest
from tasks.core.errors import GoodfitError

SYSTEM = ("/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/nix/store", "/proc", "/sbin", "/sys", "/Library", "/System")
SYSTEM_IN_USR = ("bin", "lib", "lib32", "lib64", "libexec", "local/lib", "sbin", "share")
# What libraries keep for themselves: in the folder for caches, where weights that were downloaded do count, and in the user's own.
CACHES = ("fontconfig", "matplotlib", "numba", "torch_extensions")
OWN_FOLDERS = (".nv", ".triton")
FONTS = "fontlist-"  # of matplotlib, wherever MPLCONFIGDIR is
SECRETS = {".netrc", "_netrc"}  # `requests` looks for a password there: its digest is better not written down
MIRROR = (
    "GOODFIT_MIRROR"  # a folder with published files: the code that reads them knows their digests (tasks/sources/fetching.py)
)
SHOWN = 3  # names in a sentence
CHECKPOINTS = ".dvc/tmp/goodfit/"  # of this very stage, these very inputs (flows/checkpoints.py)


class UndeclaredError(GoodfitError):
    """The stage ran or read what dvc.yaml does not declare."""


@dataclass(frozen=True)
class Undeclared:
    """What a stage read or ran outside of the repository, by its name there, and of which packages it read files."""

    files: dict[str, Digest] = field(default_factory=dict)
    packages: frozenset[str] = frozenset()  # by the names of their folders


def judge(
    root: Path,
    declared: Declaration,
    inputs: Collection[str],
    code: Executed,
    opened: Collection[str],
    *,
    moved: Collection[str] = (),
    loose: Collection[Path] = (),
) -> Undeclared:
    """Look at all that the stage read and ran.

    Args:
        root: the repository.
        declared: the stage as dvc.yaml has it.
        inputs: its input files.
        code: what ran.
        opened: the absolute paths of what was opened for reading.
        moved: the former absolute paths of what was renamed, and was there before.
        loose: files of modules that lie among the installed packages and belong to none.

    Raises:
        UndeclaredError: some of it is of the repository, and is neither declared nor of the stage's own making.
    """
    known = {_normal(f"{root}{os.sep}{name}" if not os.path.isabs(name) else name) for name in inputs}  # noqa: PTH117
    executed, read, gone = (
        {str(path) for path in code.files},
        {_normal(path) for path in opened},
        {_normal(path) for path in moved},
    )
    of_system, mirror = _of_system(), _mirror()
    inside, outside = {}, {}
    for path in sorted((executed | read | gone) - known):
        if (
            is_installed(root, path)
            or path.startswith(mirror)
            or not (path.startswith(f"{root}{os.sep}") or not of_system(path))
        ):
            continue
        if path in gone or os.path.isfile(path):  # noqa: PTH113 - thousands of names
            real = os.path.realpath(path)
            name = _in_repository(root, path, real)
            if name is None and path not in gone and not (is_installed(root, real) or of_system(real)):
                outside[path] = real
            elif name is not None and name not in code.used and not _is_own(declared, name):
                inside[name] = real
    # A file may be declared by another name. To follow all links takes time, and is seldom needed.
    targets = {os.path.realpath(path) for path in known} if inside or outside else set()
    verbs = {
        name: "ran" if real in executed else "moved" if real in gone else "read"
        for name, real in inside.items()
        if real not in targets
    }
    for name in _later_statements(root, declared, verbs):
        del verbs[name]
    if verbs:
        raise _refusal(declared, verbs)
    foreign = sorted({*loose, *(Path(real) for real in outside.values() if real not in targets)})
    return Undeclared({_named(path): digest_file(path) for path in foreign}, frozenset(_packages(read)))


def _in_repository(root: Path, path: str, real: str) -> str | None:
    """The path relative to the repository, without its environment; of a link there, that of the link."""
    if is_installed(root, real):
        return None
    found = next((place for place in (Path(path), Path(real)) if place.is_relative_to(root)), None)
    return found.relative_to(root).as_posix() if found else None


def _is_own(declared: Declaration, name: str) -> bool:
    """Whether goodfit itself or the stage made or reads this file of the repository."""
    is_output = any(name == out or name.startswith(f"{out}/") for out in declared.outs)
    of_goodfit = (name.startswith(BUILDER) and name.endswith(".py")) or name.startswith(CHECKPOINTS)
    return is_output or of_goodfit or name.partition("/")[0].endswith(".egg-info")


def _later_statements(root: Path, declared: Declaration, names: Iterable[str]) -> list[str]:
    """Of a stage that reads statements, those of stages that do not come before it.

    The report looks through every statement for those that its results come from. A later stage's can be no input of it, which would be
    a circle, and says nothing of its results.
    """
    found = [name for name in names if Path(name).parent == FOLDER]
    if not found or not any(Path(dep).parent == FOLDER for dep in declared.deps):
        return []
    declarations = read_declarations(root)
    before = {out for stage in upstream(declarations, declared.name) for out in declarations[stage].outs}
    return [name for name in found if name not in before]


def _refusal(declared: Declaration, files: dict[str, str]) -> UndeclaredError:
    """What was found, why that is refused, and the exact lines to add to dvc.yaml."""
    stage = declared.name
    hidden = [name for name in files if any(name.startswith(f"{dep}/") for dep in declared.deps)]
    if hidden:
        return UndeclaredError(
            f"{stage}: {files[hidden[0]]} {_listed(hidden)}, which .dvcignore leaves out of the stage's inputs; move it out of that "
            "folder, or correct .dvcignore"
        )
    by_verb = {verb: [name for name, found in files.items() if found == verb] for verb in ("ran", "read", "moved")}
    done = " and ".join(f"{verb} {_listed(names)}" for verb, names in by_verb.items() if names)
    lines = "".join(f"\n      - {name}" for name in files)
    cure = "`make deps` adds it" if all(name.startswith("tasks/") for name in files) else "add it"
    cure = f"put it back, let the stage copy it instead, and {cure}" if by_verb["moved"] else cure
    return UndeclaredError(
        f"{stage}: {done}, which dvc.yaml does not declare, so that an edit of it would not run the stage again; {cure} "
        f"under `deps:` of the stage {stage}:{lines}"
    )


def _listed(names: list[str]) -> str:
    """The first names of a list: all of them are in the lines to add."""
    return ", ".join([*names[:SHOWN], *([f"{len(names) - SHOWN} more"] if len(names) > SHOWN else [])])


def _of_system() -> Callable[[str], bool]:
    """Whether a file belongs to a library, to the system, or to what these keep for themselves; asked by its path."""
    temporary = tempfile.gettempdir()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folders = [*SYSTEM, *(f"/usr/{folder}" for folder in SYSTEM_IN_USR), temporary, os.path.realpath(temporary)]
    folders += [*(f"{cache}/{folder}" for folder in CACHES), *(f"{Path.home()}/{folder}" for folder in OWN_FOLDERS)]
    prefixes = tuple(f"{folder}/" for folder in folders)

    def of_system(path: str) -> bool:
        name = path.rpartition("/")[2]
        return path.startswith(prefixes) or name.startswith(FONTS) or name in SECRETS or f"/{BYTECODE}/" in path

    return of_system


def _normal(path: str) -> str:
    """Without detours; of ten thousand paths hardly one has any."""
    return os.path.normpath(path) if f"{os.sep}." in path or os.sep * 2 in path else path


def _mirror() -> tuple[str, ...]:
    url = urlsplit(os.environ.get(MIRROR, ""))
    return (unquote(url.path).rstrip(os.sep) + os.sep,) if url.scheme == "file" else ()


def _named(path: Path) -> str:
    """A path without the name of the user."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else path.as_posix()


def _packages(read: Iterable[str]) -> Iterator[str]:
    """Of which installed packages a file was read: data that comes with a library needs no import of it."""
    # The hook tells the path as it was opened, and fanotify the real one; they differ where the environment is a link.
    places = {get_paths()[name] for name in ("purelib", "platlib")}
    folders = {folder + os.sep for place in places for folder in (place, os.path.realpath(place))}
    for path in read:
        for folder in folders:
            if path.startswith(folder):
                yield path[len(folder) :].partition(os.sep)[0]
