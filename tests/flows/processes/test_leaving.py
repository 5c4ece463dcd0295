"""The end of a process that lives for one command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = "from flows.processes.leaving import leave; print('done'); leave({code})"
BUFFERED = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}


def ended(redirection: str = "", code: int = 0) -> "subprocess.CompletedProcess[str]":
    """The script in a shell, with its output where `redirection` says."""
    command = f'{sys.executable} -c "$SCRIPT" {redirection}'
    environment = BUFFERED | {"SCRIPT": SCRIPT.format(code=code)}
    return subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_what_was_printed_arrives_and_the_code_is_kept() -> None:
    done = ended(code=3)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_cannot_be_written_does_not_change_the_exit_code() -> None:
    done = ended("> /dev/full")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_is_closed_does_not_change_the_exit_code() -> None:
    done = ended(">&-")
    assert (done.returncode, done.stderr) == (0, "")
