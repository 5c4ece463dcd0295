"""The lock of a run, between real processes."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.processes.run_lock import run_lock

HOLD = """
import sys
from pathlib import Path
from flows.processes.run_lock import run_lock
with run_lock(Path(), sys.argv[1:], kept=True, say=print):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def holder(root: Path, *overrides: str) -> "subprocess.Popen[str]":
    """A process that holds the lock until a line is written to it."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", HOLD, *overrides], cwd=root, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_waits_and_says_for_whom_and_what_it_left(root: Path) -> None:
    first = holder(root, "train.epochs=2")
    said: list[str] = []
    waiting = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        waiting.set()

    def second() -> None:
        with run_lock(root, [], kept=True, say=say):
            said.append("begins")

    thread = threading.Thread(target=second)
    thread.start()
    assert waiting.wait(60)
    assert said[0].startswith(f"waiting for process {first.pid}, which has been running this pipeline since ")
    assert said[0].endswith(" with train.epochs=2; press Ctrl-C to give up")
    first.communicate("\n")
    thread.join(60)
    assert said[1:] == [f"the run of process {first.pid} has ended; it left train.epochs=2 in params.yaml", "begins"]


def test_a_killed_run_holds_nothing(root: Path) -> None:
    first = holder(root, "train.epochs=2")
    first.kill()
    first.communicate()
    said: list[str] = []
    with run_lock(root, [], kept=True, say=said.append):
        assert said == []
    assert not (root / ".dvc/tmp/goodfit-run.json").exists()


def test_outside_a_dvc_repository_nothing_is_written(tmp_path: Path) -> None:
    with run_lock(tmp_path, ["train.epochs=2"], kept=True, say=print):
        assert list(tmp_path.iterdir()) == []
