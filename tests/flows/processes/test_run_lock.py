"""The lock of a run, between real processes."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.processes.run_lock import run_lock

Holder = Callable[..., "subprocess.Popen[str]"]
HOLD = """
import sys
from pathlib import Path
from flows.processes.run_lock import run_lock
with run_lock(Path(), sys.argv[1:], say=lambda line: print(line, flush=True)) as lock:
    print("held", flush=True)
    for line in sys.stdin:
        match line.strip():
            case "left":
                lock.tell_left(sys.argv[1:])
                print("told", flush=True)
            case "end":
                break
"""
NESTED = """
import subprocess, sys
from pathlib import Path
from flows.processes.run_lock import run_lock
INNER = "from pathlib import Path; from flows.processes.run_lock import run_lock\\nwith run_lock(Path(), [], say=print): print('ran')"
with run_lock(Path(), [], say=print):
    done = subprocess.run(["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, INNER], capture_output=True, text=True, timeout=60)
sys.exit(done.stdout + done.stderr)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    return tmp_path


@pytest.fixture
def holder(root: Path) -> Iterator[Holder]:
    """Starts processes that hold the lock until they are told `end`."""
    started = []

    def start(*overrides: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", HOLD, *overrides]
        started.append(subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, text=True))
        assert line(started[-1]) == "held"
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().rstrip("\n")


def tell(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdin
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


class Waiting:
    """A run in a thread of this process, which waits for the lock."""

    def __init__(self, root: Path, override: str = "seed=7") -> None:
        self.override = override
        self.said: list[str] = []
        self.heard = threading.Condition()
        self.thread = threading.Thread(target=self._run, args=(root,), daemon=True)
        self.thread.start()

    def _run(self, root: Path) -> None:
        with run_lock(root, [self.override], say=self._say) as lock:
            self._say("begins")
            lock.tell_left([self.override])

    def _say(self, line: str) -> None:
        with self.heard:
            self.said.append(line)
            self.heard.notify_all()

    def hears(self, lines: int) -> list[str]:
        """What was said, once there are so many lines."""
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.said) >= lines, 60)
            return list(self.said)


def test_a_second_run_waits_and_says_for_whom_and_what_it_left(root: Path, holder: Holder) -> None:
    first = holder("train.epochs=2")
    waiting = Waiting(root)
    (said,) = waiting.hears(1)
    assert said.startswith(f"waiting for process {first.pid}, which has been running this pipeline since ")
    assert said.endswith(" with train.epochs=2; press Ctrl-C to give up")
    tell(first, "left")
    assert line(first) == "told"
    first.communicate("end\n")
    waiting.thread.join(60)
    assert waiting.said[1:] == [f"the run of process {first.pid} has ended; it left train.epochs=2 in params.yaml", "begins"]


def test_the_last_is_told_what_every_run_before_it_left_and_nothing_older(root: Path, holder: Holder) -> None:
    old = holder("seed=1")
    tell(old, "left")
    assert line(old) == "told"
    old.communicate("end\n")
    first = holder("train.epochs=2")
    tell(first, "left")
    assert line(first) == "told"
    waiting = [Waiting(root, "train.batch_size=8"), Waiting(root, "train.batch_size=9")]  # either may be the next
    for run in waiting:
        run.hears(1)
    first.communicate("end\n")
    for run in waiting:
        run.thread.join(60)
    second, third = sorted(waiting, key=lambda run: len([said for said in run.said if "it left" in said]))
    notes = [[said.partition("it left ")[2] for said in run.said if "it left" in said] for run in (second, third)]
    of_the_first = "train.epochs=2 in params.yaml"
    assert notes == [[of_the_first], [of_the_first, f"{second.override} in params.yaml"]]


def test_a_run_that_left_nothing_is_not_said_to_have_left_its_overrides(root: Path, holder: Holder) -> None:
    """As one that failed before it wrote them, or that put back what was there before."""
    for killed in (False, True):
        first = holder("train.epochs=2")
        waiting = Waiting(root)
        waiting.hears(1)
        if killed:
            first.kill()
        first.communicate(None if killed else "end\n")
        waiting.thread.join(60)
        assert waiting.said[1:] == ["begins"]


def test_what_a_killed_run_had_written_is_said(root: Path, holder: Holder) -> None:
    first = holder("train.epochs=2")
    tell(first, "left")
    assert line(first) == "told"
    waiting = Waiting(root)
    waiting.hears(1)
    first.kill()
    waiting.thread.join(60)
    assert waiting.said[1:] == [f"the run of process {first.pid} has ended; it left train.epochs=2 in params.yaml", "begins"]
    first.communicate()


def test_a_killed_run_holds_nothing(root: Path, holder: Holder) -> None:
    first = holder("train.epochs=2")
    tell(first, "left")
    assert line(first) == "told"
    first.kill()
    first.communicate()
    said: list[str] = []
    with run_lock(root, [], say=said.append):
        assert said == []


def test_a_run_that_a_stage_of_a_run_starts_is_refused(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", NESTED], cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert "GoodfitError: this run was started by a stage of the run that it would have to wait for (process " in done.stderr
    assert "ran" not in done.stdout


def test_outside_a_dvc_repository_nothing_is_written(tmp_path: Path) -> None:
    with run_lock(tmp_path, ["train.epochs=2"], say=print) as lock:
        lock.tell_left(["train.epochs=2"])
        assert list(tmp_path.iterdir()) == []
