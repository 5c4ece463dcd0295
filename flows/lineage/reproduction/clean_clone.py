"""A clean clone of one commit in a temporary folder: it reuses nothing of the original's, and nothing of it reaches the original."""

import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.git import git, git_text
from tasks.core.errors import GoodfitError

PREFIX = "goodfit-reproduce-"


@dataclass(frozen=True)
class Clone:
    """The temporary folder, the project in it, and the variables that its commands are given."""

    folder: Path
    root: Path
    variables: dict[str, str]


@contextmanager
def clean_clone(root: Path, commit: str, *, keep: bool = False) -> Iterator[Clone]:
    """Check a commit out in a temporary folder, which is removed when the block ends, however it ends.

    The project lies as deep in that folder as the original lies below `/`, so that a path such as `../images` stays inside of it.

    Args:
        root: the original project, in a Git repository.
        commit: its whole hash.
        keep: leave the folder behind.

    Raises:
        GoodfitError: there is no Git, it cannot check the commit out, or the commit's `.dvc` is no folder of its own.
    """
    top = Path(git_text(root, "rev-parse", "--show-toplevel").rstrip("\n"))
    below = git_text(root, "rev-parse", "--show-prefix").rstrip("\n")
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    try:
        clone = folder.joinpath("clone", *top.parts[1:])
        clone.mkdir(parents=True)
        variables = _variables(root, folder, top)
        git(clone, "init", "--quiet", "--template=", variables=variables)
        git(clone, "fetch", "--quiet", "--no-tags", "--depth=1", str(top), commit, variables=variables, protocol="file")
        git(clone, "checkout", "--quiet", "--detach", commit, variables=variables)
        _separate_cache(clone / below, folder)
        yield Clone(folder, clone / below, variables)
    finally:
        if not keep:
            with _uninterrupted():
                remove(folder)


def _variables(root: Path, folder: Path, top: Path) -> dict[str, str]:
    """Those of this process, without what would lead Git or DVC back to the original or to a setting of this machine."""
    foreign = set(git_text(root, "rev-parse", "--local-env-vars").split())  # such as GIT_DIR, which Git sets for a hook
    kept = {key: value for key, value in os.environ.items() if key not in foreign and not key.startswith("DVC_")}
    own = {f"DVC_{name}_DIR": str(folder / "dvc" / name.lower()) for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")}
    first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    code = (entry for entry in kept.pop("PYTHONPATH", "").split(os.pathsep) if entry)
    foreign_code = os.pathsep.join(entry for entry in code if not Path(entry).resolve().is_relative_to(top))
    own |= {"PYTHONPATH": foreign_code} if foreign_code else {}
    return kept | own | {"PATH": first, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}


def _separate_cache(root: Path, folder: Path) -> None:
    """The committed settings may name a cache that several repositories share; a committed link may lead anywhere."""
    settings = root / ".dvc" / "config.local"
    place = Path(os.path.realpath(settings.parent))
    if place != settings.parent or (os.path.lexists(place) and not place.is_dir()):
        raise GoodfitError(
            f"the commit's .dvc is a file or leads elsewhere (to {place}), where the settings of the clone would be written; "
            "expected a folder of the project: commit it as one"
        )
    place.mkdir(exist_ok=True)
    settings.unlink(missing_ok=True)
    with settings.open("x", encoding="utf-8") as file:
        file.write(f"[cache]\n    dir = {folder / 'cache'}\n")


def remove(folder: Path) -> None:
    """Remove a folder with everything in it; DVC and stages leave files and folders that may not be written."""

    def again(call: Callable[..., Any], path: str, _: Any) -> None:
        for entry in (os.path.dirname(path), path):  # noqa: PTH120 - `shutil` hands over a text
            if os.path.lexists(entry) and not os.path.islink(entry):  # noqa: PTH114 - the same
                os.chmod(entry, stat.S_IRWXU)  # noqa: PTH101 - the same
        call(path)

    shutil.rmtree(folder, onerror=again)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not leave half of the folder behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
