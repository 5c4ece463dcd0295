"""Served and deployed runs: real servers, runners and workers, in real Git and DVC repositories."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flows.deployments import deployment, main
from flows.server import free_port
from tasks.core.settings import load_yaml
from tests.conftest import ROOT, Project, environment
from tests.faults.world import STAGES, World

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

GONE_SECONDS = 15.0  # after SIGKILL of `make serve`; each process looks five times per second whether its parent is still there
LONG_SECONDS = 120  # longer than a stage that a signal or a kill left behind would be waited for
TERMINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def ask(port: int, path: str, **body: Any) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def answers(port: int) -> bool:
    try:
        return bool(ask(port, "/work_pools/filter") or True)
    except OSError:
        return False


def deployed(port: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(port, "/deployments/filter")
    return found


def ended_runs(port: int) -> list[dict[str, Any]]:
    """The flow runs that came to an end, the first first."""
    chosen = {"state": {"type": {"any_": TERMINAL}}}
    found: list[dict[str, Any]] = ask(port, "/flow_runs/filter", flow_runs=chosen, sort="START_TIME_ASC")
    return found


def task_states(port: int, run: dict[str, Any]) -> dict[str, str]:
    tasks = ask(port, "/task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    return {task["name"]: task["state_name"] for task in tasks}


def artifacts(port: int, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = ask(port, "/artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    return {artifact["key"]: artifact for artifact in found}


def crons(made: "RunnerDeployment") -> list[dict[str, Any]]:
    schedules = [item.schedule for item in made.schedules or [] if item.schedule]
    return [schedule.model_dump(include={"cron", "timezone"}) for schedule in schedules]


def until(true: Callable[[], Any], seconds: float, told: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s:\n{told()}")
        time.sleep(0.5)


class Served:
    """Processes of one test, each with its log, and nothing of them left afterwards."""

    def __init__(self, project: Project, home: Path) -> None:
        self.project, self.home, self.port = project, home, free_port()
        self.printed = ""  # by the last command
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # A mark that every descendant inherits: what is left of them is found by it.
        self.variables = {"PREFECT_HOME": str(home), "GOODFIT_TEST_MARK": f"mark-{self.port}"}

    def start(self, name: str, *command: str, folder: Path | None = None, **variables: str) -> None:
        with (self.home / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=folder or self.project.root,
                env=environment() | self.variables | variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, *command: str) -> None:
        """A command that talks to the server, to its end, which is a good one."""
        done = self.project.run(*command, check=True, PREFECT_API_URL=f"http://127.0.0.1:{self.port}/api", **self.variables)
        self.printed = done.stdout + done.stderr

    def serve(self, *arguments: str) -> None:
        self.start("serve", sys.executable, "-m", "flows.deployments", "--port", str(self.port), *arguments)

    def log(self, name: str = "*") -> str:
        """What the process of that name has printed; of all processes without one."""
        return "\n".join(file.read_text() for file in self.home.glob(f"{name}.log"))

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        self.processes[name].send_signal(number)
        return self.processes[name].wait(60)

    def left(self) -> list[str]:
        """The command lines of all processes that carry the mark."""
        mark = f"GOODFIT_TEST_MARK={self.variables['GOODFIT_TEST_MARK']}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                    found.append(f"{folder.name} {(folder / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}")
            except (OSError, ValueError):
                continue  # it ended meanwhile, or belongs to another user
        return found

    def clean(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for line in self.left():
            os.kill(int(line.split()[0]), signal.SIGKILL)


@pytest.fixture
def served(diamond: World, tmp_path: Path) -> Iterator[Served]:
    """The small pipeline, all of it run, with the deployment of prefect.yaml."""
    project = Project(diamond.root)
    shutil.copy2(ROOT / "prefect.yaml", project.root)
    home = tmp_path / "prefect"
    home.mkdir()
    served = Served(project, home)
    try:
        yield served
    finally:
        served.clean()


def deploy(served: Served) -> str:
    """A server, a work pool and what prefect.yaml deploys; the address of the API."""
    served.start("server", "prefect", "server", "start", "--port", str(served.port))
    until(lambda: answers(served.port), 120, served.log)
    served.run("prefect", "work-pool", "create", "goodfit", "--type", "process")
    served.run("prefect", "deploy", "--all", "--no-prompt")
    return f"http://127.0.0.1:{served.port}/api"


def test_the_deployment_is_what_prefect_yaml_states() -> None:
    (stated,) = load_yaml(ROOT / "prefect.yaml")["deployments"]
    made = deployment(ROOT)
    assert (made.name, made.flow_name, made.entrypoint) == (stated["name"], "training", stated["entrypoint"])
    assert made.parameters == stated["parameters"] == {"stages": None, "force": False, "overrides": []}
    assert made.concurrency_limit == stated["concurrency_limit"]["limit"] == 1
    assert crons(made) == [{key: schedule[key] for key in ("cron", "timezone")} for schedule in stated["schedules"]]


def test_another_cron_replaces_the_schedule() -> None:
    assert [schedule["cron"] for schedule in crons(deployment(ROOT, "* * * * *"))] == ["* * * * *"]


def test_prefect_yaml_names_no_folder_of_a_machine() -> None:
    assert str(Path.home()) not in (ROOT / "prefect.yaml").read_text()
    assert str(ROOT) not in (ROOT / "prefect.yaml").read_text()


def test_a_port_that_another_program_has_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "restored afterwards")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr("flows.server.ANSWER_SECONDS", 0.2)
        assert main(["--port", str(port)]) == 1
    expected = f"port {port} is in use; stop the program that uses it, or choose another port: `make serve PORT={port + 1}`"
    assert capsys.readouterr().err == f"error: {expected}\n"


def test_make_serve_takes_a_port() -> None:
    command = ["make", "--dry-run", "--silent", "SETUP=", "serve", "PORT=4300"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "python -m flows.deployments --port 4300" in printed


@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.timeout(400)
def test_scheduled_runs_are_true_and_a_signal_during_one_leaves_no_process_and_no_output(served: Served) -> None:
    served.project.edit("params.yaml", "seed: 1", "seed: 2")
    served.serve("--cron", "* * * * *")
    until(lambda: "ready: " in served.log(), 120, served.log)
    until(lambda: ended_runs(served.port), 120, served.log)
    served.run("prefect", "deployment", "run", "training/training")  # sooner than the next minute
    until(lambda: len(ended_runs(served.port)) > 1, 90, served.log)
    first, second = ended_runs(served.port)[:2]
    assert [run["state_type"] for run in (first, second)] == ["COMPLETED"] * 2
    assert first["auto_scheduled"]
    assert task_states(served.port, first) == dict.fromkeys(STAGES, "Ran")
    assert task_states(served.port, second) == dict.fromkeys(STAGES, "Unchanged")
    assert served.project.is_clean()
    journal = [json.loads(line) for line in served.project.text(".dvc/tmp/goodfit/journal.jsonl").splitlines()]
    journal = [line for line in journal if line["door"] == "flow"]
    assert [line["outcome"] for line in journal[: 2 * len(STAGES)]] == ["ran"] * len(STAGES) + ["unchanged"] * len(STAGES)
    assert {line["scheduled"] for line in journal[: len(STAGES)]} == {first["expected_start_time"].replace("Z", "+00:00")}

    recorded, worked = served.project.text("dvc.lock"), served.log().count("left: working")
    served.project.edit("params.yaml", "left: {seconds: 0.3", f"left: {{seconds: {LONG_SECONDS}")
    served.run("prefect", "deployment", "run", "training/training")
    until(lambda: served.log().count("left: working") > worked, 60, served.log)
    started = time.monotonic()
    assert served.end("serve") == 0
    assert time.monotonic() - started < 30
    assert served.left() == []
    assert not (served.project.root / "work/left.txt").exists()
    assert served.project.text("dvc.lock") == recorded
    assert "Warning" not in served.log()
    assert "Traceback" not in served.log()


@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.timeout(400)
def test_a_worker_anywhere_runs_what_was_deployed(served: Served, tmp_path: Path) -> None:
    params = served.project.text("params.yaml")
    url = deploy(served)
    (made,) = deployed(served.port)
    assert (made["work_pool_name"], made["entrypoint"]) == ("goodfit", "flows.training.training")
    served.run("prefect", "deployment", "run", "training/training", "--param", 'overrides=["left.factor=3"]')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    served.start(
        "worker", "prefect", "worker", "start", "--pool", "goodfit", "--type", "process", folder=elsewhere, PREFECT_API_URL=url
    )
    until(lambda: ended_runs(served.port), 120, served.log)
    (run,) = ended_runs(served.port)
    assert (run["state_type"], run["name"]) == ("COMPLETED", "all stages: left.factor=3"), served.log()
    assert task_states(served.port, run) == {"split": "Unchanged", "left": "Ran", "right": "Unchanged", "join": "Ran"}
    assert served.project.text("params.yaml") == params, "the overrides were the run's own"
    assert load_yaml(served.project.root / "dvc.lock")["stages"]["left"]["params"]["params.yaml"]["left"]["factor"] == 3
    assert list(elsewhere.iterdir()) == []
    page = artifacts(served.port, run)["summary"]["data"]
    assert "`left.factor=3` (for this run only; params.yaml was restored)" in page

    served.run("prefect", "deployment", "run", "training/training", "--param", 'overrides=["left.factr=3"]')
    until(lambda: len(ended_runs(served.port)) == 2, 120, served.log)
    refused = ended_runs(served.port)[1]
    assert (refused["state_type"], refused["name"]) == ("FAILED", "all stages: left.factr=3")
    assert "did you mean 'factor'?" in refused["state"]["message"]
    assert served.project.text("params.yaml") == params


@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.timeout(400)
def test_kill_9_of_serve_leaves_no_server_no_run_and_no_stage(served: Served) -> None:
    served.project.edit("params.yaml", "left: {seconds: 0.3", f"left: {{seconds: {LONG_SECONDS}")
    served.serve()
    until(lambda: answers(served.port) and deployed(served.port), 120, served.log)
    served.run("prefect", "deployment", "run", "training/training")
    until(lambda: "left: working" in served.log(), 120, served.log)
    served.end("serve", signal.SIGKILL)
    until(lambda: not served.left(), GONE_SECONDS, lambda: "\n".join(served.left()))


@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.timeout(300)
def test_a_server_that_runs_is_used_and_kept(served: Served) -> None:
    served.start("server", "prefect", "server", "start", "--port", str(served.port))
    until(lambda: answers(served.port), 120, served.log)
    served.serve()
    until(lambda: deployed(served.port), 60, served.log)
    (made,) = deployed(served.port)
    assert (made["name"], made["paused"], [s["schedule"]["cron"] for s in made["schedules"]]) == (
        "training",
        False,
        ["0 2 * * *"],
    )
    time.sleep(2)
    assert served.end("serve", signal.SIGINT) == 0
    assert "using the Prefect server that runs at" in served.log("serve")
    assert "Traceback" not in served.log("serve")  # what Prefect's own server prints of a busy database is its own affair
    (made,) = deployed(served.port)  # it answers, and the schedule rests
    assert made["paused"]
