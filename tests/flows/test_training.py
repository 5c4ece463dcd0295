"""The flow on real Git and DVC repositories, with a real Prefect server."""

import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flows.declaration import DeclarationError, read_declarations
from flows.training import AFTER, DOWNLOAD_RETRY_SECONDS, conclusion, stage_task, training, with_upstream, worth_a_retry
from tasks.contracts.findings import read_diagnosis
from tasks.core.errors import DataError
from tests.conftest import ROOT, STAGES, Project, environment

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

ALL_UNCHANGED = dict.fromkeys(STAGES, "unchanged")


class Server:
    """A Prefect server of its own, with its own folder."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api"
        self.variables = {"PREFECT_HOME": str(home), "PREFECT_API_URL": self.url}
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
        self.log = home / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment() | self.variables, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):  # noqa: S310 (our own address)
                    return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.2)
        pytest.fail(f"no answer: {self.log.read_text()}")

    def ask(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310 (our own address)
            f"{self.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def last_run(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.ask("/flow_runs/filter", sort="START_TIME_DESC", limit=1)
        return found[0]

    def tasks_of(self, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The task runs of a flow run, by name; the server writes them down a moment after the run."""
        for _ in range(50):
            tasks = self.ask("/task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
            settled = [task for task in tasks if task["state_type"] not in ("RUNNING", "SCHEDULED")]
            if len(settled) == len(tasks) == len(STAGES) or (len(settled) == len(tasks) and _ > 20):
                break
            time.sleep(0.2)
        return {task["name"]: task for task in tasks}

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("prefect"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def run_flow(project: Project, server: Server, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = project.run(sys.executable, "-m", "flows.cli", "run", *arguments, check=False, **server.variables)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The lines of the summary."""
    return dict(re.findall(r"^(\w+) +(ran|restored|unchanged|failed|not run)$", done.stdout, re.MULTILINE))


# What needs no server.


def test_the_order_is_that_of_dvc_yaml() -> None:
    declarations = read_declarations(ROOT)
    writer = {out: name for name, stage in declarations.items() for out in stage.outs}
    assert list(AFTER) == list(declarations) == list(STAGES)
    for name, stage in declarations.items():
        reads_from = {writer[dep] for dep in stage.deps if dep in writer}
        waits_for = set(with_upstream(ROOT, [name])) - {name}
        assert reads_from <= waits_for, f"{name} would not wait for all that it reads from"
        assert set(AFTER[name]) <= reads_from, f"{name} waits for a stage whose files it does not read"


def test_every_stage_is_a_task_of_its_name() -> None:
    assert [stage_task(name).name for name in AFTER] == list(STAGES)
    assert training.name == "training"


def test_only_download_is_tried_again_and_waits_longer_each_time() -> None:
    assert {name: stage_task(name).retries for name in AFTER if stage_task(name).retries} == {"download": 3}
    assert sorted(DOWNLOAD_RETRY_SECONDS) == DOWNLOAD_RETRY_SECONDS


def test_the_network_is_worth_a_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.sources.fetching import Published, fetch_file

    def no_network(*_: object, **__: object) -> None:
        fetch_file("mnist", Published("train.gz", "0" * 32, ((tmp_path / "nothing").as_uri(),)), tmp_path)

    monkeypatch.delenv("GOODFIT_MIRROR", raising=False)
    assert worth_a_retry(None, None, failed_state(no_network, tmp_path, monkeypatch))


def test_what_stays_wrong_is_not_worth_a_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_data(*_: object, **__: object) -> None:
        raise DataError("data/source is missing; expected a folder a class")

    assert not worth_a_retry(None, None, failed_state(no_data, tmp_path, monkeypatch))


def failed_state(gate: Callable[..., None], folder: Path, monkeypatch: pytest.MonkeyPatch) -> "State[Any]":
    """What the task `download` ends with when its gate raises."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("flows.training.pass_gate", gate)
    monkeypatch.setattr("flows.training.get_run_logger", lambda: logging.getLogger("test"))
    (folder / "params.yaml").write_text("seed: 0\n")
    state = stage_task("download").fn("download", False, {"seed": 0})
    assert state.is_failed()
    return state


def test_a_stage_refuses_parameters_that_its_run_did_not_begin_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    state = stage_task("train").fn("train", False, {"seed": 0})
    assert state.is_failed()
    assert str(state.message).startswith("train: params.yaml changed since this run began;")


def test_stages_bring_what_they_depend_on() -> None:
    assert with_upstream(ROOT, None) == with_upstream(ROOT, []) == list(STAGES)
    assert with_upstream(ROOT, ["evaluate"]) == ["download", "preprocess", "train", "evaluate"]
    assert with_upstream(ROOT, ["diagnose", "preprocess"]) == ["download", "preprocess", "train", "diagnose"]


def test_an_unknown_stage_is_named_with_those_there_are() -> None:
    with pytest.raises(DeclarationError, match="unknown stage 'trian'; the flow has download, preprocess, train"):
        with_upstream(ROOT, ["train", "trian"])


def test_a_folder_that_cannot_be_written_is_said(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (fresh.root / ".params.yaml.partial").mkdir()  # in the way of the new params.yaml
    monkeypatch.chdir(fresh.root)
    state = training.fn(None, False, ["train.epochs=2"])
    assert state.is_failed()
    assert "Is a directory" in str(state.message)


def test_one_stage_that_did_not_complete_fails_the_flow() -> None:
    from prefect.states import Completed, Crashed, Failed, Pending

    assert conclusion({"download": Completed(name="Unchanged"), "train": Completed(name="Ran")}).is_completed()
    failed = conclusion({"train": Failed(message="train: no"), "evaluate": Pending(name="NotReady")})
    assert failed.is_failed()
    assert failed.message == "train: no"
    assert conclusion({"train": Crashed(message="train: killed")}).is_failed()
    assert conclusion({"train": Pending(name="NotReady")}).is_failed()


def test_importing_the_flow_loads_no_torch() -> None:
    code = "import sys, flows.training; print({'torch', 'pandas', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# What needs one.


@pytest.mark.slow
@pytest.mark.prefect
def test_runs_once_and_then_finds_nothing_to_do(fresh: Project, server: Server) -> None:
    first = run_flow(fresh, server)
    assert outcomes(first) == dict.fromkeys(STAGES, "ran")
    assert fresh.is_clean()
    lock = fresh.text("dvc.lock")

    run = server.last_run()
    tasks = server.tasks_of(run)
    assert (run["name"], run["state_name"], run["state"]["message"]) == ("all stages", "Completed", "6 ran")
    assert {name: task["state_name"] for name, task in tasks.items()} == dict.fromkeys(STAGES, "Ran")
    ends = {name: task["end_time"] for name, task in tasks.items()}
    for name, earlier in AFTER.items():
        assert all(tasks[name]["start_time"] >= ends[before] for before in earlier), name

    second = run_flow(fresh, server)
    assert outcomes(second) == ALL_UNCHANGED
    assert "Verdict: " in second.stdout
    assert "Warning" not in second.stderr
    assert fresh.text("dvc.lock") == lock
    assert {task["state_name"] for task in server.tasks_of(server.last_run()).values()} == {"Unchanged"}

    journal = [json.loads(line) for line in fresh.text("lineage/journal.jsonl").splitlines()]
    assert [(line["door"], line["scheduled"]) for line in journal] == [("flow", None)] * 12
    assert {line["flow_run_id"] for line in journal[:6]} == {run["id"]}

    artifacts = {artifact["key"]: artifact for artifact in server.ask("/artifacts/latest/filter")}
    assert set(artifacts) == {"verdict", "metrics", "findings"}
    evaluation, diagnosis = json.loads(fresh.text("metrics/evaluation.json")), read_diagnosis(fresh.root)
    shown = {row["metric"]: row["value"] for row in json.loads(artifacts["metrics"]["data"])}
    assert shown == evaluation
    assert diagnosis.headline in artifacts["verdict"]["data"]
    assert f"{evaluation['accuracy']:.4f}" in artifacts["verdict"]["data"]


@pytest.mark.slow
@pytest.mark.prefect
def test_overrides_run_what_they_change_and_come_back_restored(ran: Project, server: Server) -> None:
    params, lock = ran.text("params.yaml"), ran.text("dvc.lock")
    changed = run_flow(ran, server, "train", "-S", "train.epochs=2")
    assert outcomes(changed) == {"download": "unchanged", "preprocess": "unchanged", "train": "ran"}
    assert server.last_run()["name"] == "train: train.epochs=2"
    assert ran.text("params.yaml") == params.replace("epochs: 3 ", "epochs: 2 ")

    back = run_flow(ran, server, "-S", "train.epochs=3")
    assert outcomes(back) == ALL_UNCHANGED | {"train": "restored"}
    assert server.tasks_of(server.last_run())["train"]["state_name"] == "Restored"
    assert (ran.text("params.yaml"), ran.text("dvc.lock")) == (params, lock)

    forced = run_flow(ran, server, "preprocess", "--force")
    assert outcomes(forced) == {"download": "ran", "preprocess": "ran"}
    assert ran.text("dvc.lock") == lock


@pytest.mark.slow
@pytest.mark.prefect
def test_a_failing_stage_fails_the_flow_and_the_other_branch_finishes(ran: Project, server: Server) -> None:
    lock = ran.text("dvc.lock")
    diagnosis = json.loads(ran.text("results/diagnosis.json"))
    ran.edit("tasks/evaluate.py", "    if len(test) == 0:", "    if len(test) >= 0:")
    ran.edit("tasks/diagnose.py", '"""Stage `diagnose`', '"""The stage `diagnose`')
    done = run_flow(ran, server, code=1)
    assert outcomes(done) == ALL_UNCHANGED | {"evaluate": "failed", "diagnose": "ran", "report": "not run"}
    assert done.stderr.splitlines()[-1].startswith("error: evaluate: the test split is empty; expected rows")
    assert "Traceback" not in done.stdout + done.stderr

    run = server.last_run()
    assert (run["state_type"], run["state"]["message"]) == ("FAILED", done.stderr.splitlines()[-1].removeprefix("error: "))
    tasks = server.tasks_of(run)
    assert tasks["evaluate"]["state_type"] == "FAILED"
    assert tasks["report"]["state_name"] == "NotReady"
    assert json.loads(ran.text("results/diagnosis.json")) == diagnosis
    assert evaluate_entry(ran.text("dvc.lock")) == evaluate_entry(lock)


@pytest.mark.prefect
def test_what_cannot_run_is_said_before_anything_starts(fresh: Project, tmp_path: Path) -> None:
    variables = {"PREFECT_HOME": str(tmp_path / "prefect")}
    params = fresh.text("params.yaml")
    unknown = fresh.run(sys.executable, "-m", "flows.cli", "run", "trian", check=False, **variables)
    override = fresh.run(sys.executable, "-m", "flows.cli", "run", "-S", "train.epoch=2", check=False, **variables)
    fresh.edit("params.yaml", "name: mlp ", "name: mpl ")
    invalid = fresh.run(sys.executable, "-m", "flows.training", check=False, **variables)
    assert (unknown.returncode, override.returncode, invalid.returncode) == (1, 1, 1)
    assert unknown.stderr.startswith("error: unknown stage 'trian'")
    assert "did you mean 'epochs'?" in override.stderr
    assert "train.model.name: 'mpl' is not a known name" in invalid.stderr
    assert all("server" not in done.stderr for done in (unknown, override, invalid))
    assert fresh.text("params.yaml") == params.replace("name: mlp ", "name: mpl ")
    assert not (fresh.root / "lineage/journal.jsonl").exists()


@pytest.mark.prefect
def test_a_server_that_is_not_there_is_named(fresh: Project, tmp_path: Path) -> None:
    variables = {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = fresh.run(sys.executable, "-m", "flows.training", check=False, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Failed to reach API at http://127.0.0.1:9/api")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.prefect
def test_a_temporary_server_is_announced_and_ends(ran: Project, tmp_path: Path) -> None:
    done = ran.run(sys.executable, "-m", "flows.training", PREFECT_HOME=str(tmp_path / "prefect"))
    assert outcomes(done) == ALL_UNCHANGED
    assert done.stderr.startswith("starting a temporary Prefect server")
    port = re.findall(r"Starting temporary server on http://127.0.0.1:(\d+)", done.stdout + done.stderr)[0]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0


@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_leaves_the_record(ran: Project, server: Server, number: signal.Signals) -> None:
    lock = ran.text("dvc.lock")
    printed, code = signalled(ran, number, server.variables)
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], printed
    assert "Traceback" not in printed
    assert ran.text("dvc.lock") == lock
    assert not (ran.root / "models/model.safetensors").exists()
    assert not (ran.root / "lineage/train.json").exists()
    run = server.last_run()
    assert run["state_type"] == {signal.SIGINT: "CANCELLED", signal.SIGTERM: "CRASHED"}[number]
    assert server.tasks_of(run)["train"]["state_type"] == "CANCELLED"
    entry = json.loads(ran.text("lineage/journal.jsonl").splitlines()[-1])
    assert (entry["stage"], entry["outcome"]) == ("train", "failed")


@pytest.mark.slow
@pytest.mark.prefect
def test_a_temporary_server_hears_of_the_end_after_ctrl_c(ran: Project, tmp_path: Path) -> None:
    printed, code = signalled(ran, signal.SIGINT, {"PREFECT_HOME": str(tmp_path / "prefect")})
    assert code == 130, printed
    assert "Traceback" not in printed
    assert "\ninterrupted; what had finished is kept" in printed
    with closing(sqlite3.connect(tmp_path / "prefect/prefect.db")) as database:
        assert database.execute("select state_type from flow_run").fetchall() == [("CANCELLED",)]
    port = re.findall(r"Starting temporary server on http://127.0.0.1:(\d+)", printed)[0]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def signalled(project: Project, number: signal.Signals, variables: dict[str, str]) -> tuple[str, int]:
    """Run the flow with many epochs, signal it once in the middle of `train` as a terminal does, the whole group; it has 30 s."""
    project.edit("params.yaml", "epochs: 3 ", "epochs: 100000 ")
    log = project.root.parent / "flow.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.training"],
            cwd=project.root,
            env=environment() | variables,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while "libtorch_cpu" not in Path(f"/proc/{process.pid}/maps").read_text():  # `train` has begun
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        time.sleep(1)
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        return_code = process.wait(30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return log.read_text(), return_code


def evaluate_entry(lock: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(lock)["stages"]["evaluate"]
