"""A stage ends with the run that started it, and what a later run did stands."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.processes.locks import held_stages, read_holder
from flows.processes.watch import is_running
from flows.server import prefect_server
from tests.conftest import Project
from tests.faults.world import PARAMS, World, command

pytestmark = pytest.mark.slow

BOUND_SECONDS = 5.0
# After SIGTERM the flow ends its stages and tells the server; Prefect's worker gives its flow 30 s for that.
FLOW_BOUND_SECONDS = {"flow": 15.0, "worker": 45.0}
POOL = "goodfit"
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]
LONG = "seconds: 60"  # what is left of it would outlive every bound
EARLIER = PARAMS.replace("seed: 1", "seed: 2").replace("seconds: 0.3", LONG)
LATER = PARAMS.replace("seed: 1", "seed: 3")


@pytest.fixture(scope="module")
def expected(_diamond: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed run with the later parameters records."""
    world = World(Path(shutil.copytree(_diamond, tmp_path_factory.mktemp("expected") / "world")))
    (world.root / "params.yaml").write_text(LATER)
    assert world.run(*command("dvc")).returncode == 0
    return world.record()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if is_running(process)]


def run_later(diamond: World, door: str) -> "subprocess.CompletedProcess[str]":
    """The later run; where a kill tore a file of DVC's, plain `dvc repro` needs `goodfit doctor`, and the gate does not."""
    done = diamond.run(*command(door))
    if done.returncode and door == "dvc":
        doctor = diamond.run("python", "-m", "flows.cli", "doctor")
        assert doctor.stdout.strip() != "nothing to repair", done.stdout
        done = diamond.run(*command(door))
    return done


@pytest.mark.parametrize("moment", range(2))
@pytest.mark.parametrize(("door", "number"), [(door, number) for door in ("dvc", "gate") for number in SIGNALS])
def test_the_later_run_stands_when_the_leader_alone_was_ended(
    diamond: World, expected: dict[str, bytes], door: str, number: signal.Signals, moment: int
) -> None:
    (diamond.root / "params.yaml").write_text(EARLIER.replace(LONG, "seconds: 4") if moment else EARLIER)
    leader = diamond.start(door, diamond.root.parent / "log")
    time.sleep(random.Random(f"{door}{number}{moment}").uniform(0.2, 6))  # any moment of the run
    earlier = diamond.processes()
    leader.send_signal(number)
    if door == "dvc":
        leader.wait()  # plain DVC takes a zombie for a process that runs
    (diamond.root / "params.yaml").write_text(LATER)
    started = time.monotonic()
    done = run_later(diamond, door)
    leader.wait()
    assert done.returncode == 0, done.stdout
    wait_until(lambda: not still_running(earlier), BOUND_SECONDS - min(time.monotonic() - started, BOUND_SECONDS - 0.1))
    assert diamond.record() == expected
    assert not list(diamond.root.rglob(".*.partial"))


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables with which a process talks to one Prefect server for all tests."""
    home = tmp_path_factory.mktemp("prefect")
    with (home / "log").open("w") as log, prefect_server(environment={"PREFECT_HOME": str(home)}, output=log) as url:
        ask(url, "work_pools/", name=POOL, type="process")
        yield {"PREFECT_HOME": str(home), "PREFECT_API_URL": url}


def ask(url: str, path: str, **body: Any) -> Any:
    """Ask again where the server's database is locked at this moment, as Prefect's own client does."""
    header = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/{path}", json.dumps(body).encode(), header)  # noqa: S310 (our own address)
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code < 500 or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def start_worker(diamond: World, log: Path) -> "subprocess.Popen[bytes]":
    """A worker that starts the earlier run, for which it has overrides; tests/flows/test_deployments.py deploys prefect.yaml itself."""
    url = diamond.variables["PREFECT_API_URL"]
    deployed = ask(
        url,
        "deployments/",
        name=log.parent.name,
        flow_id=ask(url, "flows/", name="training")["id"],
        entrypoint="flows.training.training",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(diamond.root)}}],
        work_pool_name=POOL,
    )
    overrides = ["seed=2", "left.seconds=60"]
    ask(
        url,
        f"deployments/{deployed['id']}/create_flow_run",
        parameters={"overrides": overrides},
        idempotency_key=log.parent.name,
    )
    return diamond.start_command(log, "prefect", "worker", "start", "--pool", POOL, "--type", "process")


@pytest.mark.prefect
@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("leader", ["flow", "worker"])
def test_the_later_run_stands_when_the_flow_or_its_worker_alone_was_ended(
    diamond: World, prefect: dict[str, str], expected: dict[str, bytes], leader: str, number: signal.Signals
) -> None:
    diamond.variables |= prefect
    log = diamond.root.parent / "log"
    if leader == "flow":
        (diamond.root / "params.yaml").write_text(EARLIER)
        process = diamond.start("flow", log)
    else:
        process = start_worker(diamond, log)
    wait_until(lambda: bool(diamond.stage_processes()), 120)
    time.sleep(random.Random(f"{leader}{number}").uniform(0, 6))  # any moment while its stages run
    earlier = diamond.processes()
    process.send_signal(number)
    ended = time.monotonic()

    if leader == "flow":
        (diamond.root / "params.yaml").write_text(LATER)
        later = diamond.start("gate", log.with_name("later"))
    else:  # the file holds the overrides of the run that was ended, and the flow puts them back
        words = (sys.executable, "-m", "flows.cli", "run", "-S", "seed=3")
        later = diamond.start_command(log.with_name("later"), *words)
    wait_until(lambda: not still_running(earlier), FLOW_BOUND_SECONDS[leader] - (time.monotonic() - ended))
    assert later.wait(120) == 0, log.read_text() + log.with_name("later").read_text()
    assert (diamond.root / "params.yaml").read_text() == LATER
    assert diamond.record() == expected
    assert not list(diamond.root.rglob(".*.partial"))


@pytest.mark.parametrize("door", ["dvc", "gate"])
def test_an_orphan_ends_within_the_bound_behind_a_shell_that_the_kernel_does_not_end(
    diamond: World, expected: dict[str, bytes], door: str, tmp_path: Path
) -> None:
    """Then the parent is the shell: only the watching thread sees that the leader has ended, as on systems other than Linux."""
    shell = tmp_path / "sh"
    shell.write_text('#!/bin/sh\n/bin/sh "$@"\nexit $?\n')
    shell.chmod(0o755)
    diamond.variables["SHELL"] = str(shell)
    (diamond.root / "params.yaml").write_text(EARLIER)
    leader = diamond.start(door, tmp_path / "log")
    wait_until(lambda: "left" in held_stages(diamond.root))
    wait_until(lambda: (holder := read_holder(diamond.root, "left")) is not None and holder.process.is_alive())
    holder = read_holder(diamond.root, "left")
    assert holder is not None
    assert holder.leader is not None
    assert holder.leader.pid == leader.pid
    assert psutil.Process(holder.process.pid).ppid() != leader.pid, "the shell stands between them"
    leader.kill()
    leader.wait()
    wait_until(lambda: not holder.process.is_alive(), BOUND_SECONDS)
    (diamond.root / "params.yaml").write_text(LATER)
    assert diamond.run(*command(door)).returncode == 0
    assert diamond.record() == expected


def test_the_next_stage_ends_an_orphan_that_holds_the_lock(diamond: World, expected: dict[str, bytes], tmp_path: Path) -> None:
    """A stopped process cannot watch anything; it is ended from outside."""
    (diamond.root / "params.yaml").write_text(EARLIER)
    shell = tmp_path / "sh"
    shell.write_text('#!/bin/sh\n/bin/sh "$@"\nexit $?\n')
    shell.chmod(0o755)
    diamond.variables["SHELL"] = str(shell)
    leader = diamond.start("dvc", tmp_path / "log")
    wait_until(lambda: (holder := read_holder(diamond.root, "left")) is not None and holder.process.is_alive())
    holder = read_holder(diamond.root, "left")
    assert holder is not None
    os.kill(holder.process.pid, signal.SIGSTOP)
    leader.kill()
    leader.wait()
    (diamond.root / "params.yaml").write_text(LATER)
    done = diamond.run(*command("dvc"))
    assert done.returncode == 0, done.stdout
    assert f"left: ended process {holder.process.pid}, which was left over from a run that has ended" in done.stdout
    assert not holder.process.is_alive()
    assert diamond.record() == expected


def test_a_stage_waits_for_one_that_a_person_started_and_then_gives_up(diamond: World) -> None:
    (diamond.root / "params.yaml").write_text(EARLIER.replace(LONG, "seconds: 100"))
    by_hand = (sys.executable, "-m", "flows.stage", "left")
    first = subprocess.Popen(by_hand, cwd=diamond.root, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: read_holder(diamond.root, "left") is not None)
        script = (
            "import flows.stage as stage, functools; from flows.processes.locks import stage_lock;"
            "stage.stage_lock = functools.partial(stage_lock, wait_seconds=1); stage.run_stage('left')"
        )
        second = diamond.run(sys.executable, "-c", script)
    finally:
        first.kill()
        first.wait()
    assert f"left: waiting for process {first.pid} (since " in second.stdout
    assert f"left: process {first.pid} (since " in second.stdout
    assert "is still working on its outputs; nothing was changed" in second.stdout


def test_dvc_killed_alone_in_a_long_training_does_not_undo_the_next_run(ran: Project) -> None:
    """As it was reported: the orphan ended its 1500 epochs, found other parameters, and removed the later run's model."""
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 1500 ")
    leader = ran.start("dvc", "repro", "train")
    try:
        wait_until(lambda: (holder := read_holder(ran.root, "train")) is not None and holder.process.is_alive(), 120)
        holder = read_holder(ran.root, "train")
        assert holder is not None
        leader.kill()
        leader.communicate()
    finally:
        leader.kill()
    ran.edit("params.yaml", "epochs: 1500 ", "epochs: 40 ")
    ran.run("dvc", "repro", "train")
    assert not holder.process.is_alive()
    recorded, outputs = ran.text("dvc.lock"), ran.outputs()
    time.sleep(BOUND_SECONDS)  # nothing may come any more: there is no condition to wait for
    assert ran.text("dvc.lock") == recorded
    assert ran.outputs() == outputs
    assert ran.run("dvc", "status", "train").stdout.strip() == "Data and pipelines are up to date."
