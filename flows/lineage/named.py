"""Whether a path within an output folder is that of a file: one that lies there, or one that a record names."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from flows.declaration import Declaration
from flows.lineage.listing import FOLDER
from flows.lineage.lock import Locked
from flows.lineage.objects import Objects
from tasks.contracts.statement import Statement
from tasks.core.errors import GoodfitError

COMPARED = 1000  # names among which the nearest is looked for


def require_file(
    root: Path, path: str, declared: Declaration, entry: Locked | None, statement: Statement | None, *, kept: Path | None = None
) -> None:
    """Refuse a path that is no output, at which nothing lies, and which no record of the stage names.

    A file that is named and does not lie there is a matter of its own: it is missing.

    Args:
        root: what `path` is relative to.
        path: in an output folder of the stage, or an output.
        declared: the stage as dvc.yaml declares it.
        entry: what dvc.lock has of it, if anything.
        statement: its statement, if there is one.
        kept: the repository whose cache has the lists of folders, where that is not `root`.

    Raises:
        GoodfitError: there is no such file.
    """
    if path not in declared.outs and not os.path.lexists(root / path):
        require_named(Objects(kept or root), path, declared.name, entry, statement)


def require_named(objects: Objects, path: str, stage: str, entry: Locked | None, statement: Statement | None) -> None:
    """Refuse a path that is neither a file nor a folder around a file that a record of the stage names.

    Raises:
        GoodfitError: it is none.
    """
    if any(name == path or name.startswith(f"{path}/") for name in _names(objects, path, entry, statement)):
        return
    nearest = get_close_matches(path, islice(_names(objects, path, entry, statement), COMPARED), n=1, cutoff=0)
    such = f", such as '{nearest[0]}'" if nearest else ""
    raise GoodfitError(f"there is no file '{path}', and no record of the stage {stage} names one; expected what it wrote{such}")


def _names(objects: Objects, path: str, entry: Locked | None, statement: Statement | None) -> Iterator[str]:
    yield from statement.outputs if statement else ()
    for out, md5 in entry.outs.items() if entry else ():
        yield out
        if md5.endswith(FOLDER) and path.startswith(f"{out}/"):
            yield from (f"{out}/{name}" for name in objects.members(md5) or ())
