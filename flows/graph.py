"""The pipeline's graph, from DVC's own index: every stage and those that it waits for."""

from pathlib import Path
from typing import Any


def read_graph(root: Path) -> dict[str, frozenset[str]]:
    """Every stage that has a command, in the order of dvc.yaml, with the stages whose outputs it reads.

    Stages have the names that `pass_gate` takes: `train`, an item of a `foreach` or `matrix` as `train@item`, a stage of another
    folder as `folder/dvc.yaml:train`.

    Raises:
        DvcException: dvc.yaml is not valid, or two stages write the same file.
    """
    from dvc.repo import Repo

    with Repo(str(root.resolve())) as repo:
        graph = repo.index.graph
        stages = [stage for stage in repo.index.stages if stage.cmd]
        return {
            stage_name(stage): frozenset(stage_name(before) for before in graph.successors(stage) if before.cmd)
            for stage in stages
        }


def stage_name(stage: Any) -> str:
    """A stage's name relative to the repository; DVC's own `addressing` is relative to the current folder."""
    from dvc.dvcfile import PROJECT_FILE

    if stage.path_in_repo == PROJECT_FILE:
        return str(stage.name)
    return f"{stage.path_in_repo}:{stage.name}" if getattr(stage, "name", None) else str(stage.path_in_repo)
