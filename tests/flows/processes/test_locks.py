"""The lock of a stage: one process at a time, free after any kill, and an orphan that holds it is ended."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from flows.processes.locks import FOLDER, StageBusyError, end_orphan, held_stages, is_held, read_holder, stage_lock
from flows.processes.watch import Identity
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from flows.processes.locks import stage_lock
from flows.processes.watch import Identity
leader = Identity.parse(sys.argv[2]) if sys.argv[2] else None
with stage_lock(Path(sys.argv[1]), "train", leader, print):
    print("held", flush=True)
    time.sleep(1000)
"""


@contextmanager
def held(root: Path, leader: str = "") -> "Iterator[subprocess.Popen[str]]":
    """Another process that holds the lock of `train`."""
    command = [sys.executable, "-c", HOLD, str(root), leader]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def ended() -> str:
    """The identity of a process that has ended."""
    process = subprocess.Popen(["sleep", "1000"])
    identity = Identity.of(psutil.Process(process.pid))
    process.kill()
    process.wait()
    return str(identity)


@pytest.fixture
def living() -> "Iterator[str]":
    """The identity of a process that runs."""
    process = subprocess.Popen(["sleep", "1000"])
    yield str(Identity.of(psutil.Process(process.pid)))
    process.kill()
    process.wait()


def test_a_stage_that_nobody_works_on_is_free(tmp_path: Path) -> None:
    assert not is_held(tmp_path, "train")
    assert read_holder(tmp_path, "train") is None
    assert held_stages(tmp_path) == []
    assert end_orphan(tmp_path, "train") is None


def test_who_holds_the_lock_is_said_while_it_is_held(tmp_path: Path, living: str) -> None:
    with held(tmp_path, living) as process:
        holder = read_holder(tmp_path, "train")
        assert holder is not None
        assert holder.process.pid == process.pid
        assert holder.leader == Identity.parse(living)
        assert str(holder).startswith(f"process {process.pid}, started by process {living.partition(':')[0]} (since ")
        assert held_stages(tmp_path) == ["train"]
        assert not is_held(tmp_path, "evaluate")


def test_another_process_waits_says_for_whom_and_gives_up(tmp_path: Path, living: str) -> None:
    said: list[str] = []
    with held(tmp_path, living) as process:
        with (
            pytest.raises(StageBusyError, match=rf"train: process {process.pid}, .* is still working on its outputs; nothing"),
            stage_lock(tmp_path, "train", None, said.append, wait_seconds=0.3),
        ):
            pytest.fail("two hold it")
        assert process.poll() is None
        assert said == [f"train: waiting for {read_holder(tmp_path, 'train')}, which is working on its outputs"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_kill_frees_the_lock_and_what_was_noted_counts_no_more(tmp_path: Path, number: signal.Signals) -> None:
    with held(tmp_path) as process:
        process.send_signal(number)
        process.wait()
        assert not is_held(tmp_path, "train")
        assert end_orphan(tmp_path, "train") is None
        said: list[str] = []
        with stage_lock(tmp_path, "train", None, said.append, wait_seconds=0):
            holder = read_holder(tmp_path, "train")
            assert holder is not None
            assert holder.process.is_alive()
    assert said == []
    assert read_holder(tmp_path, "train") is None


def test_an_orphan_is_ended_and_its_lock_taken(tmp_path: Path, ended: str) -> None:
    said: list[str] = []
    with held(tmp_path, ended) as process, stage_lock(tmp_path, "train", None, said.append, wait_seconds=30):
        assert process.wait(timeout=10) == -signal.SIGKILL
    (line,) = said
    assert line.startswith(f"train: ended process {process.pid}, which was left over from a run that has ended (since ")


@pytest.mark.parametrize("whose", ["living", "by hand"])
def test_a_process_that_is_no_orphan_is_never_ended(tmp_path: Path, living: str, whose: str) -> None:
    with held(tmp_path, living if whose == "living" else "") as process:
        assert end_orphan(tmp_path, "train") is None
        time.sleep(0.2)
        assert process.poll() is None


def test_a_process_with_the_number_of_an_orphan_is_not_ended(tmp_path: Path, living: str, ended: str) -> None:
    """The orphan has gone, and its number was given to a process of somebody else's."""
    with held(tmp_path, ended) as process:
        process.kill()
        process.wait()
        path = tmp_path / FOLDER / "train.json"
        document = json.loads(path.read_text())
        stranger = Identity.parse(living)
        document["process"] = {"pid": stranger.pid, "created": stranger.created - 100}
        path.write_text(json.dumps(document))
        assert end_orphan(tmp_path, "train") is None
        assert stranger.is_alive()


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"process": {"pid": 1}}', '{"process": 1, "leader": null, "since": ""}'])
def test_a_torn_note_of_the_holder_disturbs_nothing(tmp_path: Path, torn: str) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "train.json").write_text(torn)
    assert read_holder(tmp_path, "train") is None
    assert end_orphan(tmp_path, "train") is None
    with stage_lock(tmp_path, "train", None, print, wait_seconds=0):
        assert read_holder(tmp_path, "train") is not None
