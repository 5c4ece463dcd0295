"""Which stages have nothing to do, asked of DVC once for all of them: a gate for each would read dvc.yaml and dvc.lock each time."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.graph import stage_name
from flows.processes.locks import end_orphan
from flows.selection import Graph


def unchanged_stages(root: Path, graph: Graph, chosen: Sequence[str], say: Callable[[str], None]) -> frozenset[str]:
    """Those of the chosen stages that DVC finds unchanged, and so are all stages that they wait for.

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
                if name in stages and graph[name] <= found and not stages[name].changed():
                    found.add(name)
    except (DvcException, sqlite3.DatabaseError, OSError):
        return frozenset()
    return frozenset(found)
