"""The training flow with nothing to do, against a bare Prefect flow of five empty chained tasks: whole processes, one server."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.side_by_side import Comparison, in_turns
from benchmarks.workplace import ROOT, Workplace, workplace
from flows.declaration import read_declarations

GOAL = 1.5
ROUNDS = 8
SERVER_START_SECONDS = 120.0
HOST = "127.0.0.1"
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


def measure() -> Iterator[str]:
    """Time both; yields one line."""
    with workplace() as place:
        clone, bare = place.fresh_clone("goodfit"), place.folder / "bare"
        bare.mkdir()
        (bare / "bare.py").write_text(BARE_FLOW)
        place.run("dvc", "repro", at=clone)
        with prefect_server(place) as url:
            ours, peer = in_turns(lambda: our_flow(place, clone, url), lambda: bare_flow(place, bare, url), ROUNDS)
        yield str(Comparison("training flow with nothing to do", "flow of five empty tasks", GOAL, ours, peer))


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
def prefect_server(place: Workplace) -> Iterator[str]:
    """The API address of a real server on a free port of this machine, with its database in the workplace."""
    port = free_port()
    command = (sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port))
    log = place.folder / "server.log"
    # A file, because a pipe that nobody reads would fill up.
    with (
        log.open("w") as output,
        place.started(*command, at=place.folder, environment=place.environment, output=output) as process,
    ):
        url = f"http://{HOST}:{port}/api"
        wait_until_healthy(process, url, log)
        yield url


def wait_until_healthy(process: "subprocess.Popen[str]", url: str, log: Path) -> None:
    """Return when the server answers.

    Raises:
        RuntimeError: it ended, or did not answer in time; the message holds its log.
    """
    deadline = time.monotonic() + SERVER_START_SECONDS
    while not answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the Prefect server did not start:\n{log.read_text()}")
        time.sleep(0.2)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 (an http address of our own)
            return True
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
