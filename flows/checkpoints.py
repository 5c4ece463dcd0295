"""Where a stage keeps its checkpoint: one file for each set of inputs, so that no run continues from another run's."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.lineage.packages import versions
from flows.lineage.statement import environment
from flows.lineage.variables import variables
from tasks.contracts.statement import Digest

# In DVC's folder for temporary files, which Git ignores in every DVC repository.
FOLDER = Path(".dvc/tmp/goodfit/checkpoints")
# Only stages that run this file keep checkpoints.
KEEPS = "tasks/learning/checkpoint.py"
# Of runs that were interrupted and never continued, so many are kept for each stage.
KEPT = 3


@contextmanager
def checkpoint_file(root: Path, stage: str, files: dict[str, Digest], resolved: dict[str, Any]) -> Iterator[None]:
    """Tell the stage its file; remove the file when the block ends well, and leave it to the next run otherwise.

    Args:
        root: the repository.
        stage: the name of the stage.
        files: the digest of every input file, as sealed.
        resolved: the stage's parameters, with the default of every option that is not stated.
    """
    if KEEPS not in files:
        yield
        return
    from tasks.learning.position import CHECKPOINT_VARIABLE  # code of the stages that keep checkpoints, and of no other

    file = root / FOLDER / f"{stage}-{_key(files, resolved)}.ckpt"
    os.environ[CHECKPOINT_VARIABLE] = str(file)
    try:
        yield
        file.unlink(missing_ok=True)
    finally:
        del os.environ[CHECKPOINT_VARIABLE]
        _remove_old(root, stage)


def _key(files: dict[str, Digest], resolved: dict[str, Any]) -> str:
    """Of all that decides the stage's result, which is what its statement states of how it was made."""
    inputs = {name: digest.sha256 for name, digest in files.items()}
    made = [inputs, resolved, environment(resolved, variables(), computes=True), versions(resolved)]
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def _remove_old(root: Path, stage: str) -> None:
    found = sorted((root / FOLDER).glob(f"{stage}-*"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in found[KEPT:]:
        file.unlink(missing_ok=True)
