"""A Prefect server on this machine that ends with the process that needs it.

`python -m flows.server PARENT [OPTION ...]` is that server: `prefect server start` in a process that watches its parent. Whatever
ends the parent, `kill -9` included, the server ends too.
"""

import json
import os
import runpy
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from flows.processes.watch import end_with_parent
from tasks.core.errors import GoodfitError

HOST = "127.0.0.1"
START_SECONDS = 120.0  # the first start on a machine creates the database; under load it has taken longer than Prefect's 20 s
STOP_SECONDS = 15.0
# The server of an interrupted run may still be closing the database: longer than `STOP_SECONDS`, and than Prefect's 10 s.
DATABASE_SECONDS = "60"
ANSWER_SECONDS = 5.0
PORT_ATTEMPTS = 3  # another program may take a free port before the server does
PRIVATE = ("--analytics-off",)  # no usage statistics, in whatever folder it is started
# A server for one run: nothing is scheduled on it. Its pages take a second, and Prefect prints a link to them.
TEMPORARY = ("--no-scheduler", "--no-late-runs", "--log-level", "ERROR")
# Straight to this machine, whatever proxy the environment names.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class ServerError(GoodfitError):
    """There is no Prefect server, and none can be started."""


class PortInUseError(ServerError):
    """Another program has the port."""


@contextmanager
def prefect_server(
    port: int | None = None,
    options: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    output: IO[str] | int = subprocess.DEVNULL,
) -> Iterator[str]:
    """Start a Prefect server and yield its API address; it ends with the block, or with this process.

    Call it from the main thread: Linux takes the end of the thread that started the server for the end of its parent.

    Args:
        port: of 127.0.0.1; None chooses a free one.
        options: more options of `prefect server start`.
        environment: variables for the server in addition to this process's.
        output: where its standard output goes; a file also gets its messages, which otherwise appear on standard error.

    Raises:
        ServerError: the port is in use, or the server ended or did not answer in time.
    """
    process, url = _started(port, options, environment, output)
    try:
        yield f"{url}/api"
    finally:
        _stop(process)


def answers(url: str) -> bool:
    """Whether a Prefect server is at `url` (without `/api`): its version is JSON text such as "3.8.8"."""
    try:
        with _open(f"{url}/api/admin/version", timeout=ANSWER_SECONDS) as response:
            return isinstance(json.load(response), str)
    except (OSError, ValueError):
        return False


def address(port: int) -> str:
    """The address of a server on this machine, without `/api`."""
    return f"http://{HOST}:{port}"


def _started(
    port: int | None, options: Sequence[str], environment: Mapping[str, str] | None, output: IO[str] | int
) -> "tuple[subprocess.Popen[bytes], str]":
    attempts = 1 if port else PORT_ATTEMPTS
    while True:
        attempts -= 1
        chosen = port or free_port()
        if _in_use(chosen):
            raise PortInUseError(f"port {chosen} is in use; stop the program that uses it, or choose another port")
        process = _start(chosen, options, environment, output)
        try:
            _wait_until_ready(process, address(chosen))
        except ServerError:
            _stop(process)
            if not (attempts and _in_use(chosen)):
                raise
        except BaseException:
            _stop(process)
            raise
        else:
            return process, address(chosen)


def _start(
    port: int, options: Sequence[str], environment: Mapping[str, str] | None, output: IO[str] | int
) -> "subprocess.Popen[bytes]":
    """In a process group of its own: Ctrl-C reaches only us, and a run's last state is stored before the server ends."""
    variables = {"PREFECT_SERVER_DATABASE_TIMEOUT": DATABASE_SECONDS, **os.environ, **(environment or {})}
    variables["PREFECT_SERVER_UI_API_URL"] = f"{address(port)}/api"  # whatever the port, its pages would ask the one at 4200
    command = [sys.executable, "-m", "flows.server", str(os.getpid()), "--host", HOST, "--port", str(port), *PRIVATE, *options]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output == subprocess.DEVNULL else output,
        env=variables,
        start_new_session=True,
    )


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        if process.poll() is not None:
            raise ServerError(f"the Prefect server at {url} ended with exit code {process.returncode}; see its messages")
        if time.monotonic() > deadline:
            raise ServerError(f"the Prefect server did not answer at {url} within {START_SECONDS:g} s")
        time.sleep(0.1)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of this machine that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def main(arguments: list[str]) -> None:
    """Be the server, until a signal or the end of the parent."""
    parent, *options = arguments
    end_with_parent()
    if os.getppid() != int(parent):  # it ended before this process could watch it
        return
    sys.argv = ["prefect", "server", "start", *options]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
