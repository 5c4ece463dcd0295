"""`make serve`: a Prefect server on this machine and the scheduled deployment of prefect.yaml, in one terminal."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.server import PortInUseError, ServerError, address, answers, prefect_server
from tasks.core.errors import GoodfitError
from tasks.core.settings import load_yaml

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

DEPLOYMENTS_FILE = "prefect.yaml"


def main(arguments: list[str] | None = None) -> int:
    """The command: serve until Ctrl-C or SIGTERM; exit code 1 with a message when that cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m flows.deployments", description=__doc__)
    parser.add_argument("--port", type=int, default=4200, help="the port of the server on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--cron", help=f"a schedule to try instead of that in {DEPLOYMENTS_FILE}")
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
    """Serve the deployment until a signal ends it. Its schedule is then paused, so that no run is late at the next start."""
    from prefect.runner import Runner

    class Ending(Runner):
        def handle_sigterm(self, *_: object, **__: object) -> None:
            # Prefect's own handler exits before its clean-up is awaited: this one ends the runs, pauses the schedule, then exits.
            print("ending; a running stage has 30 s to end", flush=True)
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
        tags=stated.get("tags"),
        schedules=[Cron(schedule.pop("cron"), **schedule) for schedule in map(dict, schedules)],
        concurrency_limit=ConcurrencyLimitConfig(**stated["concurrency_limit"]),
        paused=False,  # the end of the last `serve` paused it
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


@contextmanager
def server(port: int) -> Iterator[None]:
    """A Prefect server on `port` for this process: the one that answers there, or a new one that ends with the block.

    Raises:
        ServerError: another program has the port, or the server does not start.
    """
    url = address(port)
    os.environ["PREFECT_API_URL"] = f"{url}/api"  # read when prefect is imported: not before this line
    if answers(url):
        print(f"using the Prefect server that runs at {url}", flush=True)
        yield
        return
    print(f"starting a Prefect server at {url} (a few seconds; the first time longer)", flush=True)
    signal.signal(signal.SIGTERM, _leave)  # until the runner sets its own: the server is ended on every way out
    try:
        with prefect_server(port):
            print(f"ready: {url} (press Ctrl-C to end the server and the schedule)", flush=True)
            yield
    except PortInUseError as error:
        raise ServerError(f"{error}: `make serve PORT={port + 1}`") from None


def _leave(*_: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
