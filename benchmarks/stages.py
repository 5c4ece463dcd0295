"""A stage's function called directly, without DVC, a seal or a record: `python -m benchmarks.stages FOLDER STAGE…`."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from flows.declaration import read_declaration
from flows.parameters.checking import stage_params
from tasks.core.settings import PARAMS_FILE, load_yaml


def params_of(stage: str, root: Path) -> Any:
    """What the stage is handed by the params.yaml and the dvc.yaml in `root`."""
    return stage_params(read_declaration(root, stage), load_yaml(root / PARAMS_FILE))


def call(stage: str, root: Path) -> None:
    """Call the stage's function as its process does."""
    getattr(import_module(f"tasks.{stage}"), stage)(params_of(stage, root), root)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        call(name, Path(sys.argv[1]))
