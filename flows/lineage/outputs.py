"""Where a verb may write: not over what is there, and nowhere that a run reads or writes. Asked before the work begins."""

import os
from pathlib import Path

from flows.declaration import read_declarations
from flows.lineage.lock import LOCK_FILE
from flows.repository import PIPELINE_FILE
from tasks.core.errors import GoodfitError
from tasks.core.settings import PARAMS_FILE


def require_place(root: Path, target: Path) -> None:
    """Check a place for a file or folder that is to be written, or to be replaced by another version of itself.

    Args:
        root: the repository.
        target: relative to the current folder.

    Raises:
        GoodfitError: its folder does not exist, or it is in the way of a path of dvc.yaml, below one, or a file of the record.
    """
    if not target.parent.is_dir():
        raise GoodfitError(f"{target.parent} is not a folder, so that {target.name} cannot be written into it: make it first")
    stages = read_declarations(root).values()
    declared = {path: stage.name for stage in stages for path in (*stage.deps, *stage.outs)}
    for path in (*declared, LOCK_FILE, PIPELINE_FILE, PARAMS_FILE):
        if any(_overlap(one, other) for one in _names(target) for other in {*_names(root / path), (root / path).resolve()}):
            owner = (
                f"which stage '{declared[path]}' declares in {PIPELINE_FILE}" if path in declared else "a file of the record"
            )
            raise GoodfitError(f"{target} would change {path}, {owner}, and with it the record; expected a place outside of it")


def require_new(root: Path, target: Path) -> None:
    """Check a place for a file or folder that must not be there yet.

    Raises:
        GoodfitError: as above, or something is there: also an empty folder, or a link that leads nowhere.
    """
    require_free(target)
    require_place(root, target)


def require_free(target: Path) -> None:
    """Check that nothing is at a place, without a look at the repository.

    Raises:
        GoodfitError: something is.
    """
    if os.path.lexists(target):
        raise GoodfitError(f"{target} exists already; expected a new name")


def _names(path: Path) -> set[Path]:
    """A folder above it may be a link: as it is called, and where it really is."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows a link at its end as well
    return {absolute, absolute.parent.resolve() / absolute.name}


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
