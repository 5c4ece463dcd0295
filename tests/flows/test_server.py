"""The server that ends with the process that needs it: real Prefect servers, really killed."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from flows.server import TEMPORARY, PortInUseError, ServerError, address, answers, prefect_server
from tests.conftest import ROOT, environment

GONE_SECONDS = 10.0  # after `kill -9` of its owner; the kernel ends it at once, elsewhere it looks five times per second
OWNER = """
import time
from flows.server import TEMPORARY, prefect_server
with prefect_server(options=TEMPORARY) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def test_a_port_in_use_is_named_and_nothing_is_started() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} is in use; stop the program that uses it, or choose another"):
            prefect_server(port).__enter__()


def test_another_program_on_a_port_is_no_server() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        assert not answers(address(other.getsockname()[1]))


def test_a_server_that_cannot_start_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServerError, match="ended with exit code"):
        prefect_server(options=("--no-such-option",), environment={"PREFECT_HOME": str(tmp_path)}).__enter__()
    assert "no-such-option" in capfd.readouterr().err


def test_a_process_whose_parent_has_already_ended_starts_no_server() -> None:
    done = subprocess.run([sys.executable, "-m", "flows.server", "1"], cwd=ROOT, timeout=60, check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.slow
@pytest.mark.prefect
def test_a_server_answers_in_the_block_and_ends_with_it(tmp_path: Path) -> None:
    with prefect_server(options=TEMPORARY, environment={"PREFECT_HOME": str(tmp_path)}) as url:
        assert url.endswith("/api")
        assert answers(url.removesuffix("/api"))
        with urllib.request.urlopen(f"{url.removesuffix('/api')}/ui-settings", timeout=30) as settings:  # noqa: S310 (our own)
            assert json.load(settings)["api_url"] == url, "its pages ask this server"
    assert not answers(url.removesuffix("/api"))


@pytest.mark.slow
@pytest.mark.prefect
def test_kill_9_of_the_owner_ends_the_server(tmp_path: Path) -> None:
    variables = environment() | {"PREFECT_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        url = owner.stdout.readline().strip().removesuffix("/api")
        assert answers(url)
        os.kill(owner.pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_SECONDS
    while answers(url):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_server_waits_for_one_that_is_still_closing_the_database(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As after Ctrl-C: with Prefect's own limit of 10 s the second server ends with `database is locked`."""
    home = {"PREFECT_HOME": str(tmp_path)}
    with prefect_server(options=TEMPORARY, environment=home):
        pass
    with closing(sqlite3.connect(tmp_path / "prefect.db", isolation_level=None, check_same_thread=False)) as database:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        closing_time = threading.Timer(14, database.close)
        closing_time.start()
        with prefect_server(options=TEMPORARY, environment=home) as url:
            assert answers(url.removesuffix("/api"))
        closing_time.join()
    assert "locked" not in capfd.readouterr().err
