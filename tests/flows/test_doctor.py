"""`goodfit doctor` and the gate on repositories that killed runs left in disorder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.doctor import mend
from flows.processes.rwlock import mend_rwlock
from tests.conftest import GATE, Project
from tests.faults.world import World, command

pytestmark = pytest.mark.slow

RWLOCK = ".dvc/tmp/rwlock"


@pytest.fixture
def zombie() -> "Iterator[int]":
    """A process that has ended and that nobody has collected yet."""
    process = subprocess.Popen(["true"])
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    yield process.pid
    process.wait()


def entries(root: Path, pid: int) -> dict[str, object]:
    info = {"pid": pid, "cmd": "dvc repro"}
    model = str(root / "models/model.json")
    return {"write": {model: info}, "read": {str(root / "data/raw"): [info, {"pid": os.getpid(), "cmd": "pytest"}]}}


def test_nothing_to_mend_is_no_line(ran: Project) -> None:
    assert mend(ran.root) == []


def test_entries_of_a_zombie_are_dropped_and_those_of_the_living_stay(ran: Project, zombie: int) -> None:
    (ran.root / RWLOCK).write_text(json.dumps(entries(ran.root, zombie)))
    assert mend(ran.root) == [f"dropped the locks of process {zombie} (`dvc repro`), which has ended"]
    left = json.loads(ran.text(RWLOCK))
    assert left == {"write": {}, "read": {str(ran.root / "data/raw"): [{"pid": os.getpid(), "cmd": "pytest"}]}}
    assert mend_rwlock(ran.root) == []


def test_a_torn_record_of_locks_is_set_aside(ran: Project) -> None:
    for torn in ("", '{"write": {"/a": {"pid": 12', '{"write": {"/a": {"pid": "x"}}}', "[1]", "\0\0\0"):
        (ran.root / RWLOCK).write_text(torn)
        (line,) = mend(ran.root)
        assert "was torn" in line
        assert ran.text(".dvc/tmp/rwlock.torn") == torn
        assert not (ran.root / RWLOCK).exists()
    assert ran.is_clean()


@pytest.mark.slow
@pytest.mark.parametrize("torn", ["", '{"write": {"/a": {"pid": 12', "[1]"])
def test_the_gate_recovers_from_a_torn_record_and_says_so(ran: Project, torn: str) -> None:
    (ran.root / RWLOCK).write_text(torn)
    done = ran.run(sys.executable, "-c", "from flows.gate import pass_gate; print(pass_gate('report'))")
    assert done.stdout.splitlines()[-1] == "unchanged"
    assert "report: .dvc/tmp/rwlock was torn" in done.stdout


@pytest.mark.slow
def test_the_gate_recovers_from_a_zombie_that_holds_a_lock(ran: Project, zombie: int) -> None:
    (ran.root / RWLOCK).write_text(json.dumps(entries(ran.root, zombie)))
    done = ran.run(sys.executable, "-c", "from flows.gate import pass_gate; print(pass_gate('evaluate', wait_seconds=5))")
    assert done.stdout.splitlines()[-1] == "unchanged"
    assert f"evaluate: dropped the locks of process {zombie}" in done.stdout


def test_what_was_not_finished_is_removed(ran: Project) -> None:
    leftovers = [
        ran.root / name for name in ("models/.model.json.partial", "data/raw/.x.partial", "results/.history.csv.partial")
    ]
    for file in leftovers:
        file.write_text("half")
    (ran.root / "data/.raw.partial").mkdir()
    (ran.root / "data/.raw.partial/images").write_text("half")
    (ran.root / "models/.mine.json").write_text("kept")
    lines = mend(ran.root)
    assert len(lines) == 4
    assert "removed models/.model.json.partial, which stage 'train' had not finished" in lines
    assert not any(file.exists() for file in [*leftovers, ran.root / "data/.raw.partial"])
    assert (ran.root / "models/.mine.json").exists()
    assert ran.is_clean()


@pytest.mark.parametrize("part", ["links", "hashes/local"])
def test_a_damaged_database_of_dvc_is_set_aside(ran: Project, tmp_path: Path, part: str) -> None:
    ran.run("dvc", "config", "--local", "core.site_cache_dir", str(tmp_path / "state"))
    assert ran.is_clean()
    (database,) = (tmp_path / "state/repo").glob(f"*/{part}/cache.db")
    for journal in database.parent.glob("cache.db-*"):
        journal.unlink()
    database.write_bytes(b"no database" * 1000)
    failed = ran.run(sys.executable, "-c", GATE, "report", check=False)
    assert "DVC's database of this repository is damaged" in failed.stderr
    assert "run `goodfit doctor`" in failed.stderr
    (line,) = mend(ran.root)
    assert f"DVC's database {database} was damaged" in line
    assert ran.is_clean()
    assert mend(ran.root) == []


TORN_LOCKS = ["stages: {train: ", "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    params:\n      params.yaml:\n"]


@pytest.mark.parametrize("torn", TORN_LOCKS)
def test_a_torn_dvc_lock_is_set_aside_and_the_committed_one_comes_back(ran: Project, torn: str) -> None:
    committed = ran.text("dvc.lock")
    (ran.root / "dvc.lock").write_text(torn)
    (line,) = mend(ran.root)
    assert "dvc.lock was torn" in line
    assert "the committed one is back" in line
    (aside,) = (ran.root / ".dvc/tmp").glob("dvc.lock.*.torn")
    assert aside.read_text() == torn
    assert ran.text("dvc.lock") == committed
    assert ran.is_clean()


@pytest.mark.parametrize("committed", [None, "stages: {evaluate: "])
def test_a_torn_dvc_lock_without_a_committed_one_that_can_be_read_is_written_anew(ran: Project, committed: str | None) -> None:
    if committed is None:
        ran.run("git", "rm", "-q", "--cached", "dvc.lock")
    else:
        (ran.root / "dvc.lock").write_text(committed)
        ran.run("git", "add", "dvc.lock")
    ran.run("git", "commit", "-qm", "a lock that cannot be read, or none")
    (ran.root / "dvc.lock").write_text("stages: {train: ")
    (line,) = mend(ran.root)
    assert "the next run writes another" in line
    assert not (ran.root / "dvc.lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize("torn", TORN_LOCKS)
def test_the_gate_recovers_from_a_torn_dvc_lock_and_says_so(ran: Project, torn: str) -> None:
    recorded = ran.text("dvc.lock")
    (ran.root / "dvc.lock").write_text(torn)
    done = ran.run(sys.executable, "-c", GATE, "report")
    assert done.stdout.splitlines()[-1] == "unchanged"
    assert "report: dvc.lock was torn" in done.stdout
    assert ran.text("dvc.lock") == recorded


def test_a_dvc_lock_with_a_conflict_is_named_and_left_alone(ran: Project) -> None:
    conflict = "<<<<<<< HEAD\nstages: {}\n=======\nstages:\n>>>>>>> other\n"
    (ran.root / "dvc.lock").write_text(conflict)
    (line,) = mend(ran.root)
    assert "left alone; `git checkout dvc.lock` brings back the committed one" in line
    assert ran.text("dvc.lock") == conflict


def test_a_missing_params_yaml_is_named_where_a_stage_of_goodfit_needs_it(ran: Project) -> None:
    (ran.root / "params.yaml").unlink()
    (line,) = mend(ran.root)
    assert line.endswith("params.yaml is missing: left alone; `git checkout params.yaml` brings back the committed one")


def test_another_pipeline_needs_no_params_yaml(tmp_path: Path) -> None:
    other = Project(tmp_path)
    (other.root / "dvc.yaml").write_text("stages:\n  a:\n    cmd: echo 1 > a\n    outs: [a]\n")
    other.run("git", "init", "-q")
    other.run("dvc", "init", "-q")
    assert mend(other.root) == []
    (other.root / "params.yaml").write_text("a: [")
    (line,) = mend(other.root)
    assert "params.yaml is not valid YAML" in line


@pytest.mark.slow
def test_an_orphan_is_ended_and_a_stage_that_a_person_runs_is_left_alone(diamond: World, tmp_path: Path) -> None:
    params = (diamond.root / "params.yaml").read_text()
    (diamond.root / "params.yaml").write_text(params.replace("seconds: 0.3", "seconds: 100"))
    shell = tmp_path / "sh"
    shell.write_text('#!/bin/sh\n/bin/sh "$@"\nexit $?\n')
    shell.chmod(0o755)
    diamond.variables["SHELL"] = str(shell)  # between DVC and the stage, so that the kernel does not end the stage
    leader = diamond.start("dvc", tmp_path / "log")
    orphan = wait_for_stage(diamond)
    assert mend(diamond.root)[0].startswith(f"left: process {orphan.pid}, started by process {leader.pid}")
    orphan.send_signal(signal.SIGSTOP)  # it cannot watch its leader
    leader.kill()
    leader.wait()
    assert mend(diamond.root)[0].startswith(f"left: ended process {orphan.pid}, which was left over")
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    (diamond.root / "params.yaml").write_text(params)
    assert diamond.run(*command("dvc")).returncode == 0


def wait_for_stage(world: World) -> psutil.Process:
    from flows.processes.locks import read_holder

    for _ in range(3000):
        holder = read_holder(world.root, "left")
        if holder is not None and holder.process.is_alive():
            return psutil.Process(holder.process.pid)
        time.sleep(0.02)
    raise AssertionError("the stage did not start")


def unfinished(root: Path, half: bool) -> list[Path]:
    """Leave every entry of the run-cache as a kill leaves it: the folder is there, the entry is not, or only beside its name."""
    folders = sorted(root.glob(".dvc/cache/runs/*/*"))
    for folder in folders:
        for entry in folder.iterdir():
            entry.unlink()
        if half:
            (folder / ".ecuxjJ2KRxebZ0qs5O4CCQ.tmp").write_text("cmd: py")
    return folders


@pytest.mark.slow
@pytest.mark.parametrize(("half", "said"), [(False, "NoneType"), (True, "outs")])
def test_entries_of_the_run_cache_that_were_not_finished_are_removed(ran: Project, half: bool, said: str) -> None:
    folders = unfinished(ran.root, half)
    unset, edited = "min_accuracy_lower_bound: null ", "min_accuracy_lower_bound: 0.1 "
    ran.edit("params.yaml", unset, edited)
    ran.gate("gates")
    for folder in folders:  # DVC makes one for the stage in the state that the next line brings back
        folder.mkdir(parents=True, exist_ok=True)
    unfinished(ran.root, half)
    ran.edit("params.yaml", edited, unset)
    assert said in ran.run("dvc", "repro", "gates", check=False).stderr  # DVC's own door stops at it
    assert all("an entry of DVC's run-cache that was not finished" in line for line in mend(ran.root))
    ran.repro("gates")


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
def test_the_gate_recovers_from_entries_that_were_not_finished(ran: Project, half: bool) -> None:
    unfinished(ran.root, half)
    (ran.root / "results/gates.json").unlink()
    (ran.root / "lineage/gates.json").unlink()
    ran.run("git", "rm", "-q", "--cached", "dvc.lock")
    (ran.root / "dvc.lock").unlink()
    done = ran.run(sys.executable, "-c", GATE, "gates")
    assert "an entry of DVC's run-cache that was not finished" in done.stdout
    assert (ran.root / "results/gates.json").exists()


def test_temporary_files_of_dvc_beside_the_outputs_are_removed(ran: Project) -> None:
    left, kept = ran.root / "models/.ecuxjJ2KRxebZ0qs5O4CCQ.tmp", ran.root / "models/.notes.tmp"
    left.touch()
    kept.touch()
    (line,) = mend(ran.root)
    assert "models/.ecuxjJ2KRxebZ0qs5O4CCQ.tmp" in line
    assert kept.exists()
    assert not left.exists()
