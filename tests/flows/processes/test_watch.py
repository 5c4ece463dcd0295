"""Who a process is, and whether it still runs."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from flows.processes.watch import LEADER_VARIABLE, Identity, end_with_leader, find_leader, this_process
from tests.conftest import ROOT


def test_a_process_is_known_by_another_from_its_text() -> None:
    written = str(this_process())
    script = f"from flows.processes.watch import Identity; print(Identity.parse({written!r}).is_alive())"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_later_process_with_the_same_number_is_another() -> None:
    me = this_process()
    assert me.is_alive()
    assert not Identity(me.pid, me.created - 10).is_alive()


def test_a_zombie_has_ended() -> None:
    process = subprocess.Popen(["sleep", "100"])
    identity = Identity.of(psutil.Process(process.pid))
    assert identity.is_alive()
    process.kill()
    deadline = time.monotonic() + 30
    while identity.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    process.wait()


def test_who_started_a_stage_by_hand_is_no_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LEADER_VARIABLE, raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert find_leader() is None
    assert end_with_leader() is None


def test_a_process_whose_leader_has_already_ended_ends_at_once() -> None:
    gone = subprocess.Popen(["sleep", "100"])
    leader = str(Identity.of(psutil.Process(gone.pid)))
    gone.kill()
    gone.wait()
    script = "from flows.processes.watch import end_with_leader; end_with_leader(); print('went on')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {LEADER_VARIABLE: leader},
    )
    assert done.returncode == -9
    assert done.stdout == ""


def test_a_flow_ends_with_the_worker_that_started_it() -> None:
    watching = "import os, time; from flows.processes.watch import end_with_parent; end_with_parent()"
    flow = f"{watching}; print(os.getpid(), flush=True); time.sleep(100)"
    worker = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {flow!r}])"
    process = subprocess.Popen([sys.executable, "-c", worker], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    started = Identity.of(psutil.Process(int(process.stdout.readline())))
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while started.is_alive():
        assert time.monotonic() < deadline, "the flow outlived its worker"
        time.sleep(0.01)
    process.stdout.close()
