"""The flow on real Git and DVC repositories, with a real Prefect server."""

import fcntl
import json
import logging
import os
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.graph import read_graph
from flows.server import answers, prefect_server
from flows.training import conclusion, stage_task, training
from tasks.contracts.findings import read_diagnosis
from tasks.core.settings import load_yaml
from tests.conftest import ROOT, STAGES, Project, environment
from tests.flows import example

# DVC reads its index through a library that is about to change.
DVC_INDEX = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
ALL_UNCHANGED = dict.fromkeys(STAGES, "unchanged")
# After `kill -9` of `goodfit run`: its stages and its temporary server are gone within this time.
GONE_SECONDS = 10.0


class Server:
    """A Prefect server of its own, with its own folder."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.variables = {"PREFECT_HOME": str(home), "PREFECT_API_URL": url}

    def ask(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310 (our own address)
            f"{self.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def has_runs(self) -> bool:
        return bool(self.ask("/flow_runs/count"))

    def last_run(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.ask("/flow_runs/filter", sort="START_TIME_DESC", limit=1)
        return found[0]

    def tasks_of(self, run: dict[str, Any], expected: int = len(STAGES)) -> dict[str, dict[str, Any]]:
        """The task runs of a flow run, by name; the server writes them down a moment after the run."""
        for attempt in range(50):
            tasks = self.ask("/task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
            settled = [task for task in tasks if task["state_type"] not in ("RUNNING", "SCHEDULED")]
            if len(settled) == len(tasks) and (len(tasks) == expected or attempt > 20):
                break
            time.sleep(0.2)
        return {task["name"]: task for task in tasks}

    def artifacts_of(self, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
        found = self.ask("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
        return {artifact["key"]: artifact for artifact in found}

    def log_of(self, run: dict[str, Any]) -> list[str]:
        found = self.ask("/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}}, sort="TIMESTAMP_ASC")
        return [line["message"] for line in found]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("prefect")
    with (home / "server.log").open("w") as log, prefect_server(environment={"PREFECT_HOME": str(home)}, output=log) as url:
        yield Server(url, home)


def run_flow(project: Project, server: Server, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = project.run(sys.executable, "-m", "flows.cli", "run", *arguments, check=False, **server.variables)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The lines of the summary."""
    return dict(re.findall(r"^(\S+) +(ran|restored|unchanged|failed|not run)\b", done.stdout, re.MULTILINE))


# What needs no server.


def test_a_stage_refuses_parameters_that_its_run_did_not_begin_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.training.get_run_logger", lambda: logging.getLogger("test"))
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    state = stage_task("train").fn("train", False, {"seed": 0}, False)
    assert state.is_failed()
    assert str(state.message).startswith("train: params.yaml changed after this run had started;")


@DVC_INDEX
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


@DVC_INDEX
@pytest.mark.slow
@pytest.mark.prefect
def test_runs_once_and_then_finds_nothing_to_do(fresh: Project, server: Server) -> None:
    first = run_flow(fresh, server)
    assert outcomes(first) == dict.fromkeys(STAGES, "ran")
    assert fresh.is_clean()
    lock = fresh.text("dvc.lock")

    run = server.last_run()
    tasks = server.tasks_of(run)
    assert (run["name"], run["state_name"]) == ("all stages", "Completed")
    verdict = read_diagnosis(fresh.root).verdict.replace("_", " ")
    evaluation = json.loads(fresh.text("metrics/evaluation.json"))
    assert run["state"]["message"] == f"{len(STAGES)} ran; verdict: {verdict}; accuracy {evaluation['accuracy']:.4f}"
    assert {"dataset: digits", "model: mlp", "optimizer: adam", f"verdict: {verdict}"} <= set(run["tags"])
    assert {name: task["state_name"] for name, task in tasks.items()} == dict.fromkeys(STAGES, "Ran")
    ends = {name: task["end_time"] for name, task in tasks.items()}
    for name, before in read_graph(fresh.root).items():
        assert all(tasks[name]["start_time"] >= ends[other] for other in before), name
    line = re.compile(r"train: 3 epochs, kept [123] \(")
    deadline = time.monotonic() + 30  # the log is sent in batches
    while not any(map(line.match, server.log_of(run))):
        assert time.monotonic() < deadline, server.log_of(run)
        time.sleep(0.5)
    used = re.findall(r"^(\w+) +ran +([\d.]+) s +(\d+) MB peak memory$", first.stdout, re.MULTILINE)
    assert [name for name, _, _ in used] == list(STAGES)

    second = run_flow(fresh, server)
    assert outcomes(second) == ALL_UNCHANGED
    assert "Verdict: " in second.stdout
    assert "Warning" not in second.stderr
    assert fresh.text("dvc.lock") == lock
    assert {task["state_name"] for task in server.tasks_of(server.last_run()).values()} == {"Unchanged"}

    journal = [json.loads(line) for line in fresh.text(".dvc/tmp/goodfit/journal.jsonl").splitlines()]
    assert [(line["door"], line["scheduled"]) for line in journal] == [("flow", None)] * 2 * len(STAGES)
    assert {line["flow_run_id"] for line in journal[:6]} == {run["id"]}

    artifacts = server.artifacts_of(run)
    assert {"summary", "metrics", "findings"} <= set(artifacts)
    rows = json.loads(artifacts["metrics"]["data"])
    assert [row["metric"] for row in rows] == ["accuracy", "macro f1", "log loss", "ece"]
    assert rows[0]["value"] == f"{evaluation['accuracy']:.4f}"
    assert f"on {evaluation['n']} test examples" in artifacts["metrics"]["description"]
    page = artifacts["summary"]["data"]
    assert read_diagnosis(fresh.root).headline in page
    assert f"`report/index.html` in `{fresh.root}`" in page
    assert "There is no earlier run to compare with." in page


@pytest.mark.slow
@pytest.mark.prefect
def test_overrides_run_what_they_change_and_come_back_restored(ran: Project, server: Server) -> None:
    params, lock = load_yaml(ran.root / "params.yaml"), ran.text("dvc.lock")
    changed = run_flow(ran, server, "train", "-S", "train.epochs=2")
    assert outcomes(changed) == {"download": "unchanged", "preprocess": "unchanged", "train": "ran"}
    assert server.last_run()["name"] == "train: train.epochs=2"
    assert load_yaml(ran.root / "params.yaml")["train"]["epochs"] == 2
    before = json.loads(ran.run("git", "show", "HEAD:metrics/evaluation.json").stdout)["accuracy"]

    back = run_flow(ran, server, "-S", "train.epochs=3")
    assert outcomes(back) == ALL_UNCHANGED | {"train": "restored"}
    assert server.tasks_of(server.last_run())["train"]["state_name"] == "Restored"
    assert (load_yaml(ran.root / "params.yaml"), ran.text("dvc.lock")) == (params, lock)
    page = server.artifacts_of(server.last_run())["summary"]["data"]
    assert f"| accuracy | {before:.4f} |" in page
    assert "`train.epochs=3` (now in params.yaml)" in page

    forced = run_flow(ran, server, "preprocess", "--force")
    assert outcomes(forced) == {"download": "ran", "preprocess": "ran"}
    assert ran.text("dvc.lock") == lock


@pytest.mark.slow
@pytest.mark.prefect
def test_a_run_inside_a_stage_of_a_run_is_refused_at_once(tmp_path: Path, server: Server) -> None:
    (tmp_path / "outer").mkdir()
    outer = Project(tmp_path / "outer")
    (outer.root / "dvc.yaml").write_text("stages:\n  inner:\n    cmd: python -m flows.cli run\n")
    outer.run("git", "init", "-q")
    outer.run("dvc", "init", "-q")
    done = outer.run(sys.executable, "-m", "flows.cli", "run", check=False, PYTHONPATH=str(ROOT), **server.variables)
    assert done.returncode == 1
    assert "error: this run was started by a stage of the run that it would have to wait for (process " in done.stderr


@pytest.mark.slow
@pytest.mark.prefect
def test_a_failing_stage_fails_the_flow_and_the_other_branch_finishes(ran: Project, server: Server) -> None:
    lock = ran.text("dvc.lock")
    diagnosis = json.loads(ran.text("results/diagnosis.json"))
    ran.edit("tasks/evaluate.py", "    if len(test) == 0:", "    if len(test) >= 0:")
    diagnose = ran.root / "tasks/diagnose.py"
    diagnose.write_text(diagnose.read_text() + "\n# changed\n")
    done = run_flow(ran, server, code=1)
    assert outcomes(done) == ALL_UNCHANGED | {
        "evaluate": "failed",
        "explain": "not run",
        "diagnose": "ran",
        "report": "not run",
        "gates": "not run",
    }
    assert done.stderr.splitlines()[-1].startswith("error: evaluate: the test split is empty; expected images")
    assert "Traceback" not in done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("the test split is empty") == 2, "where it fails, and at the end"

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
    fresh.edit("params.yaml", "name: mlp,", "name: mpl,")
    invalid = fresh.run(sys.executable, "-m", "flows.training", check=False, **variables)
    assert (unknown.returncode, override.returncode, invalid.returncode) == (2, 1, 1)
    assert unknown.stderr.startswith("error: unknown stage 'trian'")
    assert "did you mean 'train'?" in unknown.stderr
    assert "did you mean 'epochs'?" in override.stderr
    assert (
        "train.model.name: unknown name 'mpl'; expected one of cnn, imported, lenet, linear, mlp, resnet18; did you mean 'mlp'?"
        in invalid.stderr
    )
    assert all("server" not in done.stderr for done in (unknown, override, invalid))
    assert fresh.text("params.yaml") == params.replace("name: mlp,", "name: mpl,")
    assert not (fresh.root / ".dvc/tmp/goodfit/journal.jsonl").exists()


@pytest.mark.slow
@pytest.mark.prefect
def test_a_server_that_is_not_there_is_named(fresh: Project, tmp_path: Path) -> None:
    variables = {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = fresh.run(sys.executable, "-m", "flows.training", check=False, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Failed to reach API at http://127.0.0.1:9/api")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.prefect
def test_a_run_recovers_from_a_torn_dvc_lock_and_its_temporary_server_ends(ran: Project, tmp_path: Path) -> None:
    recorded = ran.text("dvc.lock")
    (ran.root / "dvc.lock").write_text("stages: {train: ")
    command = (sys.executable, "-m", "flows.cli", "run")
    planned = ran.run(*command, "--dry-run", check=False)
    assert planned.returncode == 1
    assert "dvc.lock cannot be read" in planned.stderr
    assert ran.text("dvc.lock") == "stages: {train: ", "a dry run changes nothing"
    done = ran.run(*command, "report", PREFECT_HOME=str(tmp_path / "prefect"))
    assert "dvc.lock was torn" in done.stdout
    assert ran.text("dvc.lock") == recorded
    assert set(outcomes(done).values()) == {"unchanged"}
    assert done.stderr.startswith("starting a temporary Prefect server")
    assert not answers(server_in(done.stderr))


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
    entry = json.loads(ran.text(".dvc/tmp/goodfit/journal.jsonl").splitlines()[-1])
    assert (entry["stage"], entry["outcome"]) == ("train", "failed")


@pytest.mark.slow
@pytest.mark.prefect
def test_a_temporary_server_hears_of_the_end_after_ctrl_c(ran: Project, tmp_path: Path) -> None:
    printed, code = signalled(ran, signal.SIGINT, {"PREFECT_HOME": str(tmp_path / "prefect")})
    assert code == 130, printed
    assert "Traceback" not in printed
    assert "\ninterrupted; the stages that had completed are kept" in printed
    with closing(sqlite3.connect(tmp_path / "prefect/prefect.db")) as database:
        assert database.execute("select state_type from flow_run").fetchall() == [("CANCELLED",)]
    assert not answers(server_in(printed))


@pytest.mark.slow
@pytest.mark.prefect
def test_kill_9_leaves_no_server_and_no_stage(ran: Project, tmp_path: Path) -> None:
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 100000 ")
    with in_the_middle_of_training(ran, {"PREFECT_HOME": str(tmp_path / "prefect")}) as (process, log):
        stages = training_processes(process.pid)
        url = server_in(log.read_text())
        assert stages
        assert answers(url)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + GONE_SECONDS
        while answers(url) or any(stage.is_running() and stage.status() != "zombie" for stage in stages):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def signalled(project: Project, number: signal.Signals, variables: dict[str, str]) -> tuple[str, int]:
    """Run the flow with many epochs, signal it once in the middle of `train` as a terminal does, the whole group; it has 60 s."""
    project.edit("params.yaml", "epochs: 3 ", "epochs: 100000 ")
    with in_the_middle_of_training(project, variables) as (process, log):
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        return_code = process.wait(60)
    return log.read_text(), return_code


@contextmanager
def in_the_middle_of_training(project: Project, variables: dict[str, str]) -> "Iterator[tuple[subprocess.Popen[bytes], Path]]":
    """The flow, in a process group of its own, when its stage `train` has loaded torch; and its log."""
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
        while not training_processes(process.pid):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process, log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def training_processes(flow: int) -> list[psutil.Process]:
    """The processes of a flow that have loaded torch, which `train` does when it begins."""
    found = []
    for process in psutil.Process(flow).children(recursive=True):
        with suppress(psutil.Error, OSError):
            if "libtorch_cpu" in Path(f"/proc/{process.pid}/maps").read_text():
                found.append(process)
    return found


def server_in(printed: str) -> str:
    """The address of the temporary server, from the link to the run's page."""
    return str(re.findall(r"View at (http://127.0.0.1:\d+)/", printed)[0])


def evaluate_entry(lock: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(lock)["stages"]["evaluate"]


# Pipelines that know nothing of goodfit.

PIPELINE = """
stages:
  prepare:
    cmd: python -c "print(${n})" > numbers.txt && echo prepared ${n}
    params:
      - n
    outs:
      - numbers.txt
  train:
    foreach:
      - a
      - b
    do:
      cmd: cat numbers.txt > model-${item}.txt && echo trained ${item}
      deps:
        - numbers.txt
      outs:
        - model-${item}.txt
  score:
    cmd: >-
      echo '{"score": 0.5, "n": 3}' > score.json
    deps:
      - model-a.txt
      - model-b.txt
    metrics:
      - score.json:
          cache: false
"""


@pytest.fixture
def other(tmp_path: Path) -> Project:
    """A repository with a pipeline of shell commands that knows nothing of goodfit."""
    project = Project(tmp_path / "other")
    project.root.mkdir()
    (project.root / "dvc.yaml").write_text(PIPELINE)
    (project.root / "params.yaml").write_text("n: 3\n")
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "Start")
    return project


@pytest.mark.slow
@pytest.mark.prefect
def test_the_flow_runs_dvcs_public_example(tmp_path: Path, server: Server) -> None:
    repository = example.build(tmp_path / "example")
    assert outcomes(run_goodfit(repository, server)) == dict.fromkeys(example.STAGES, "ran")
    assert repository.is_clean()
    run = server.last_run()
    metrics = json.loads(repository.text("eval/live/metrics.json"))
    assert run["state"]["message"].startswith(f"4 ran; avg_prec.train {metrics['avg_prec']['train']:.4f}")
    assert set(server.tasks_of(run, len(example.STAGES))) == set(example.STAGES)
    recorded = repository.text("dvc.lock")
    assert outcomes(run_goodfit(repository, server)) == dict.fromkeys(example.STAGES, "unchanged")

    changed = run_goodfit(repository, server, "train", "-S", "featurize.ngrams=1")
    assert outcomes(changed) == {"prepare": "unchanged", "featurize": "ran", "train": "ran"}
    repository.edit("params.yaml", "ngrams: 1", "ngrams: 2")
    (repository.root / "dvc.lock").unlink()
    repository.run("dvc", "repro", "--force")
    assert repository.text("dvc.lock") == recorded, "plain DVC records what the flow recorded"


@pytest.mark.slow
@pytest.mark.prefect
def test_stages_that_fail_side_by_side_fail_the_run_with_their_own_words(other: Project, server: Server) -> None:
    """Each waits until the other one has begun, which would be in vain if they ran one after the other."""
    both = "[ -e began-a ] && [ -e began-b ]"
    waiting = f"touch began-${{item}}; for i in $(seq 300); do {both} && break; sleep 0.1; done"
    other.edit("dvc.yaml", "echo trained ${item}", f"{waiting}; {both} && echo no ${{item}} >&2 && exit 3")
    done = run_goodfit(other, server, code=1)
    assert outcomes(done) == {"prepare": "ran", "train@a": "failed", "train@b": "failed", "score": "not run"}
    assert "exit code 3" in done.stderr
    assert "no a" in done.stderr
    assert "no b" in done.stderr


def run_goodfit(project: Project, server: Server, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The installed command: this repository has no code of ours."""
    done = project.run("goodfit", "run", *arguments, check=False, **server.variables)
    assert done.returncode == code, done.stdout + done.stderr
    return done


REPORTING = """
import json, os, time
for done in range(1, 21):
    event = {"stage": "prepare", "done": done, "total": 20, "unit": "epoch", "seconds_left": 0.15 * (20 - done)}
    event["values"] = {"loss": 0.25}
    os.write(int(os.environ["GOODFIT_PROGRESS_FD"]), (json.dumps(event) + "\\n").encode())
    time.sleep(0.15)
"""


@pytest.fixture
def reporting(other: Project) -> Project:
    """Its stage `prepare` takes 3 s and reports its progress."""
    (other.root / "report.py").write_text(REPORTING)
    other.edit("dvc.yaml", "cmd: python -c", "cmd: python report.py && python -c")
    return other


@pytest.mark.slow
@pytest.mark.prefect
def test_two_runs_with_overrides_at_once_both_run_on_their_own(reporting: Project, server: Server) -> None:
    logs = [reporting.root.parent / f"{n}.log" for n in (2, 4)]
    runs = []
    for n, log in zip((2, 4), logs, strict=True):
        with log.open("w") as file:
            command = ["goodfit", "run", "prepare", "-S", f"n={n}"]
            variables = environment() | server.variables
            runs.append(subprocess.Popen(command, cwd=reporting.root, env=variables, stdout=file, stderr=file))
    codes = [run.wait(300) for run in runs]
    printed = [log.read_text() for log in logs]
    assert codes == [0, 0], "\n".join(printed)
    for n, text in zip((2, 4), printed, strict=True):
        assert f"prepared {n}" in text
    (first,) = [n for n, text in zip((2, 4), printed, strict=True) if "waiting for process " not in text]
    assert sum(f"has ended; it left n={first} in params.yaml" in text for text in printed) == 1


@pytest.mark.slow
@pytest.mark.prefect
def test_progress_is_live_on_prefects_pages(reporting: Project, server: Server) -> None:
    with subprocess.Popen(
        ["goodfit", "run", "prepare"],
        cwd=reporting.root,
        env=environment() | server.variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        seen: set[float] = set()
        while process.poll() is None:
            shown = server.artifacts_of(server.last_run()).get("progress-prepare") if server.has_runs() else None
            if shown:
                seen.add(float(shown["data"]))
            time.sleep(0.1)
    assert process.returncode == 0
    last = server.artifacts_of(server.last_run())["progress-prepare"]
    assert (float(last["data"]), last["description"]) == (100.0, "prepare: epoch 20 of 20, loss 0.25")
    assert any(0 < percent < 100 for percent in seen), "it was only shown at the end"
    assert len(seen) <= 6, "more than about one update per second"


@pytest.mark.slow
@pytest.mark.prefect
def test_a_terminal_draws_a_bar_and_log_lines_above_it(reporting: Project, server: Server) -> None:
    import pty

    reading, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    process = subprocess.Popen(
        ["goodfit", "run"],
        cwd=reporting.root,
        env=environment() | server.variables,
        stdout=terminal,
        stderr=terminal,
        stdin=terminal,
    )
    os.close(terminal)
    drawn = b""
    with suppress(OSError):  # the end of a terminal is an error on Linux
        while chunk := os.read(reading, 65536):
            drawn += chunk
    os.close(reading)
    assert process.wait(60) == 0
    text = drawn.decode()
    assert re.search(r"prepare: +\d+%\|.*\| epoch \d+/20, .*loss 0.25", text)
    assert "prepared 3" in text


@pytest.mark.slow
@pytest.mark.prefect
def test_without_a_terminal_no_bar_is_drawn(reporting: Project, server: Server) -> None:
    done = run_goodfit(reporting, server)
    assert "prepared 3" in done.stderr
    assert "%|" not in done.stdout + done.stderr
