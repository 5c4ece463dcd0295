"""A path as dvc.yaml writes it, from one as the user wrote it."""

import os
from difflib import get_close_matches
from pathlib import Path

from flows.declaration import producer, read_declarations
from tasks.core.errors import GoodfitError


def output_path(path: str, root: Path) -> str:
    """A path as dvc.yaml writes it, from one as the user wrote it.

    Raises:
        GoodfitError: no stage writes it; the message names the nearest.
    """
    found, declarations = relative_path(path, root), read_declarations(root)
    if producer(declarations, found) is None:
        outputs = [output for stage in declarations.values() for output in stage.outs]
        same_name = [output for output in outputs if Path(output).name == Path(found).name]
        nearest = same_name or get_close_matches(found, outputs, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else "the outputs of each stage stand in dvc.yaml"
        raise GoodfitError(f"no stage writes '{found}'; {hint}")
    return found


def relative_path(path: str, root: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows a link into DVC's cache
    outside = not absolute.is_relative_to(root)
    found = absolute.parent.resolve() / absolute.name if outside else absolute  # the project may be reached through a link
    return found.relative_to(root).as_posix() if found.is_relative_to(root) else path
