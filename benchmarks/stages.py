"""A stage's function called directly, without DVC, a seal or a record: `python -m benchmarks.stages FOLDER STAGE…`."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from flows.declaration import read_declaration
from flows.lineage.variables import fix_threads
from flows.parameters.checking import stage_params
from tasks.core.settings import PARAMS_FILE, load_yaml


def params_of(stage: str, root: Path) -> Any:
    """What the stage is handed by the params.yaml and the dvc.yaml in `root`."""
    return stage_params(read_declaration(root, stage), load_yaml(root / PARAMS_FILE))


def threads_of(stage: str, root: Path) -> int:
    """How many threads the stage computes in."""
    return int(getattr(params_of(stage, root), "threads", 1))


def call(stage: str, root: Path) -> None:
    """Call the stage's function as its process does, in which threads are fixed before a library is loaded."""
    getattr(import_module(f"tasks.{stage}"), stage)(params_of(stage, root), root)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        fix_threads(threads_of(name, Path(sys.argv[1])))
        call(name, Path(sys.argv[1]))
