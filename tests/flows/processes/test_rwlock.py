"""DVC's record of locks, with entries of processes that have ended or that never made them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.processes.rwlock import CLOCKS_DIFFER_SECONDS, mend_rwlock
from tests.conftest import Project

GATE = "from flows.gate import pass_gate; print(pass_gate('copy', wait_seconds={seconds}))"
HOLD = (
    "import time; from dvc.lock import make_lock\n"
    "with make_lock('.dvc/tmp/rwlock.lock', tmp_dir='.dvc/tmp'): print('held', flush=True); time.sleep({seconds})"
)


@pytest.fixture
def copying(tmp_path: Path) -> Project:
    """A repository with one stage that has not run yet."""
    project = Project(tmp_path / "copying")
    project.root.mkdir()
    (project.root / "dvc.yaml").write_text("stages: {copy: {cmd: cp source copied, deps: [source], outs: [copied]}}\n")
    (project.root / "source").write_text("content")
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    return project


@pytest.fixture
def sleeper() -> "Iterator[subprocess.Popen[bytes]]":
    """A process that runs, and has nothing to do with DVC."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def write_entry(project: Project, pid: int, seconds_ago: float = 0) -> Path:
    """Let `pid` hold the stage's output, in a file that was written so long ago."""
    path = project.root / ".dvc/tmp/rwlock"
    info = {"pid": pid, "cmd": "dvc repro"}
    path.write_text(json.dumps({"write": {str(project.root / "copied"): info}, "read": {}}))
    written = path.stat().st_mtime - seconds_ago
    os.utime(path, (written, written))
    return path


def test_no_file_is_nothing_to_mend(copying: Project) -> None:
    assert mend_rwlock(copying.root) == []


def test_the_entry_of_a_process_that_is_no_more_is_dropped(copying: Project) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    path = write_entry(copying, gone.pid)
    assert mend_rwlock(copying.root) == [f"dropped the locks of process {gone.pid} (`dvc repro`), which has ended"]
    assert json.loads(path.read_text()) == {"write": {}, "read": {}}


def test_a_process_that_began_after_the_file_was_written_holds_nothing(
    copying: Project, sleeper: "subprocess.Popen[bytes]"
) -> None:
    """Its number was that of a killed run: DVC alone would wait for it for ever."""
    write_entry(copying, sleeper.pid, seconds_ago=2 * CLOCKS_DIFFER_SECONDS)
    refused = copying.run("dvc", "repro", check=False)
    assert f"(PID {sleeper.pid})" in refused.stderr
    done = copying.run(sys.executable, "-c", GATE.format(seconds=30))
    assert f"copy: dropped the locks of process {sleeper.pid}" in done.stdout
    assert done.stdout.splitlines()[-1] == "ran"
    assert sleeper.poll() is None


@pytest.mark.parametrize("seconds_ago", [0, CLOCKS_DIFFER_SECONDS / 2])
def test_the_entry_of_a_process_that_may_have_made_it_stays(
    copying: Project, sleeper: "subprocess.Popen[bytes]", seconds_ago: float
) -> None:
    path = write_entry(copying, sleeper.pid, seconds_ago)
    before = path.read_bytes()
    assert mend_rwlock(copying.root) == []
    assert path.read_bytes() == before
    busy = copying.run(sys.executable, "-c", GATE.format(seconds=1), check=False)
    assert "copy: still busy after 1 s; nothing was changed" in busy.stderr
    assert not (copying.root / "dvc.lock").exists()


@pytest.mark.slow
def test_while_another_process_writes_the_file_nothing_is_mended(copying: Project) -> None:
    path = write_entry(copying, 1)
    path.write_text("{")
    holder = copying.start(sys.executable, "-c", HOLD.format(seconds=1000))
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert mend_rwlock(copying.root) == []
        assert path.read_text() == "{"
    finally:
        holder.kill()
        holder.communicate()
    assert "was torn" in mend_rwlock(copying.root)[0]


@pytest.mark.slow
def test_the_gate_waits_while_another_process_writes_the_file(copying: Project) -> None:
    """DVC gives up after 3 s, and so would looking for what could be mended."""
    holder = copying.start(sys.executable, "-c", HOLD.format(seconds=8))
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        write_entry(copying, holder.pid)
        done = copying.run(sys.executable, "-c", GATE.format(seconds=120))
    finally:
        holder.kill()
        holder.communicate()
    assert "copy: waiting for another run to finish" in done.stdout
    assert done.stdout.splitlines()[-1] == "ran"
    assert copying.is_clean()
