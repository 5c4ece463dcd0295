"""Where a stage keeps its checkpoint: one file for each set of inputs, so that no run continues from another run's."""

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.contracts.statement import Digest

# In DVC's folder for temporary files, which Git ignores in every DVC repository.
FOLDER = Path(".dvc/tmp/goodfit/checkpoints")
# Also the name that tasks/learning/checkpoint.py knows; it imports torch, which this process does not need yet.
VARIABLE = "GOODFIT_CHECKPOINT"
# Of runs that were interrupted and never continued, so many are kept for each stage.
KEPT = 3


@contextmanager
def checkpoint_file(root: Path, stage: str, files: dict[str, Digest], params: dict[str, Any]) -> Iterator[None]:
    """Tell the stage its file; remove the file when the block ends well, and leave it to the next run otherwise."""
    file = root / FOLDER / f"{stage}-{_key(files, params)}.ckpt"
    os.environ[VARIABLE] = str(file)
    try:
        yield
        file.unlink(missing_ok=True)
    finally:
        del os.environ[VARIABLE]
        _remove_old(root, stage)


def _key(files: dict[str, Digest], params: dict[str, Any]) -> str:
    """Of all that decides the stage's result: the sealed inputs, and the packages and the machine that compute."""
    inputs = {name: digest.model_dump() for name, digest in files.items()}
    computes = [platform.python_version(), platform.system(), platform.machine(), version("torch"), version("numpy")]
    return hashlib.sha256(json.dumps([inputs, params, computes], sort_keys=True).encode()).hexdigest()[:16]


def _remove_old(root: Path, stage: str) -> None:
    found = sorted((root / FOLDER).glob(f"{stage}-*"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in found[KEPT:]:
        file.unlink(missing_ok=True)
