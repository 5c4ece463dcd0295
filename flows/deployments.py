"""`python -m flows.deployments`: a Prefect server on this machine and the scheduled deployment of prefect.yaml, in one terminal."""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import GoodfitError
from tasks.core.settings import load_yaml

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

DEPLOYMENTS_FILE = "prefect.yaml"
HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 15.0
ANSWER_SECONDS = 5.0


class ServerError(GoodfitError):
    """There is no Prefect server, and none can be started."""


def main(arguments: list[str] | None = None) -> int:
    """The command: serve until Ctrl-C or SIGTERM; exit code 1 with a message when that cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m flows.deployments", description=__doc__)
    parser.add_argument("--port", type=int, default=4200, help="of the server (default: %(default)s)")
    parser.add_argument("--cron", help=f"another schedule than that of {DEPLOYMENTS_FILE}, for a trial")
    options = parser.parse_args(arguments)
    try:
        with server(options.port):
            serve_training(Path.cwd(), options.cron)
    except GoodfitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while the server was starting
        return 130
    return 0


def serve_training(root: Path, cron: str | None = None) -> None:
    """Serve the deployment until a signal ends it; its schedule is paused then, so that no run is late at the next start."""
    from prefect.runner import Runner

    class Ending(Runner):
        def handle_sigterm(self, *_: object, **__: object) -> None:
            # Prefect's own handler leaves before its clean-up is awaited: this one ends the runs, pauses the schedule, then leaves.
            print("ending; a stage that runs is given 30 s", flush=True)
            self.execute_in_background(self.astop)

    runner = Ending(name="goodfit", pause_on_shutdown=True)
    runner.add_deployment(deployment(root, cron))
    signal.signal(signal.SIGINT, runner.handle_sigterm)
    asyncio.run(runner.start())


def deployment(root: Path, cron: str | None = None) -> "RunnerDeployment":
    """The deployment as prefect.yaml states it; `cron` replaces its schedules.

    Raises:
        ParamsError: prefect.yaml is missing or not YAML.
    """
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows.training import training

    (stated,) = load_yaml(root / DEPLOYMENTS_FILE)["deployments"]
    schedules: list[dict[str, Any]] = [{"cron": cron, "slug": "trial"}] if cron else stated["schedules"]
    return RunnerDeployment.from_flow(
        training,
        name=stated["name"],
        description=stated["description"],
        parameters=stated["parameters"],
        schedules=[Cron(schedule.pop("cron"), **schedule) for schedule in map(dict, schedules)],
        concurrency_limit=ConcurrencyLimitConfig(**stated["concurrency_limit"]),
        paused=False,  # the end of the last `serve` paused it
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


@contextmanager
def server(port: int) -> Iterator[None]:
    """A Prefect server on `port` for this process: the one that answers there, or one that ends with the block.

    Raises:
        ServerError: something else has the port, or the server does not start.
    """
    url = f"http://{HOST}:{port}"
    os.environ["PREFECT_API_URL"] = f"{url}/api"  # read when prefect is imported: not before this line
    if _answers(url):
        print(f"using the Prefect server that runs at {url}", flush=True)
        yield
        return
    if _taken(port):
        raise ServerError(
            f"port {port} is taken, and not by a Prefect server; choose another with `python -m flows.deployments --port N`"
        )
    print(f"starting a Prefect server at {url} (about 10 s, the first time 20 s)", flush=True)
    signal.signal(signal.SIGTERM, _leave)  # until the runner sets its own: the server is ended on every way out
    process = _start(port)
    try:
        _wait_until_ready(process, url)
        print(f"ready: {url} (Ctrl-C ends the server and the schedule)", flush=True)
        yield
    finally:
        _stop(process)


def _start(port: int) -> "subprocess.Popen[bytes]":
    """The server in its own process group: Ctrl-C reaches only us, and the schedule can still be paused before the server ends."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        if process.poll() is not None:
            raise ServerError(f"the Prefect server ended with exit code {process.returncode}; its messages are above")
        if time.monotonic() > deadline:
            raise ServerError(f"the Prefect server did not answer at {url} within {START_SECONDS:g} s")
        time.sleep(0.2)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _leave(*_: object) -> None:
    sys.exit(0)


def _answers(url: str) -> bool:
    """Whether a Prefect server is there: its version is JSON text such as "3.8.8"."""
    try:
        with urllib.request.urlopen(f"{url}/api/admin/version", timeout=ANSWER_SECONDS) as response:  # noqa: S310 (an http address of our own)
            return isinstance(json.load(response), str)
    except (OSError, ValueError):
        return False


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


if __name__ == "__main__":
    sys.exit(main())
