"""The training flow with nothing to do, against a bare Prefect flow of five empty chained tasks: whole processes, one server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.side_by_side import Comparison, Figure, in_turns
from benchmarks.workplace import ROOT, Workplace, workplace
from flows.declaration import read_declarations
from flows.server import prefect_server

GOAL = 1.5
ROUNDS = 6
# Each task takes the result of the one before, the shortest way to write a chain.
BARE_FLOW = """
from prefect import flow, task

@task
def empty(before):
    return before

@flow
def bare():
    result = 0
    for _ in range(5):
        result = empty(result)

if __name__ == "__main__":
    bare()
"""


def measure() -> Iterator[Figure | str]:
    """Time both; yields one figure."""
    with workplace() as place:
        clone, bare = place.fresh_clone("goodfit"), place.folder / "bare"
        bare.mkdir()
        (bare / "bare.py").write_text(BARE_FLOW)
        place.run("dvc", "repro", at=clone)
        with server_of(place) as url:
            ours, peer = in_turns(lambda: our_flow(place, clone, url), lambda: bare_flow(place, bare, url), rounds=ROUNDS)
        yield Comparison("training flow with nothing to do", "flow of five empty tasks", GOAL, ours, peer)


def our_flow(place: Workplace, clone: Path, url: str) -> float:
    """Seconds of a flow in which every stage was unchanged.

    Raises:
        RuntimeError: a stage was not.
    """
    done = place.run(sys.executable, "-m", "flows.training", at=clone, PREFECT_API_URL=url)
    if any(f"{name:<12} unchanged" not in done.printed for name in read_declarations(ROOT)):
        raise RuntimeError(f"the flow had something to do:\n{done.printed}")
    return done.seconds


def bare_flow(place: Workplace, folder: Path, url: str) -> float:
    return place.run(sys.executable, "bare.py", at=folder, PREFECT_API_URL=url).seconds


@contextmanager
def server_of(place: Workplace) -> Iterator[str]:
    """The API address of a real server on a free port of this machine, with its database in the workplace."""
    with (place.folder / "server.log").open("w") as log, prefect_server(environment=place.environment, output=log) as url:
        yield url
