"""Which stages have nothing to do, asked of DVC once for all of them: a gate for each would read dvc.yaml and dvc.lock each time."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.gate import is_own
from flows.graph import stage_name
from flows.lineage.record import misrecorded
from flows.processes.locks import end_orphan
from flows.selection import Graph
from tasks.core.errors import GoodfitError


def unchanged_stages(root: Path, graph: Graph, chosen: Sequence[str], say: Callable[[str], None]) -> frozenset[str]:
    """Those of the chosen stages that DVC finds unchanged and has recorded as they were sealed, and so are all that they wait for.

    None where DVC cannot tell now, because another process holds its lock or a file is damaged: each stage's gate then waits or mends.

    Args:
        root: the repository.
        graph: every stage with those that it waits for.
        chosen: the stages to ask about, each after those that it waits for.
        say: told that a process which an ended run had left was ended.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    for name in chosen:
        if ended := end_orphan(root, name):
            say(ended)
    found: set[str] = set()
    try:
        with Repo(str(root)) as repo, lock_repo(repo):
            stages = {stage_name(stage): stage for stage in repo.index.stages}
            for name in chosen:
                stage = stages.get(name)
                if stage is None or not graph[name] <= found or stage.changed() or (is_own(stage) and misrecorded(root, stage)):
                    continue  # for its gate to decide
                found.add(name)
    except (GoodfitError, DvcException, sqlite3.DatabaseError, OSError):
        return frozenset()
    return frozenset(found)
