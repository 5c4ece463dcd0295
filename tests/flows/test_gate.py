"""The gate: its outcomes, the stage's output and errors, any DVC pipeline, and a record that is what was sealed."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.graph import read_graph
from flows.lineage.record import check_record
from tests.conftest import Project
from tests.faults.world import World

pytestmark = pytest.mark.slow

PIPELINE = """
stages:
  prepare:
    cmd:
      - mkdir -p prepared
      - python src/prepare.py data.csv prepared/data.csv
    deps: [data.csv, src/prepare.py]
    params: [prepare.seed]
    outs: [prepared]
  featurize:
    foreach:
      short: {width: 2}
      long: {width: 5}
    do:
      cmd: python src/featurize.py ${item.width} prepared/data.csv features/${key}.csv
      deps: [prepared, src/featurize.py]
      outs:
        - features/${key}.csv
  train:
    wdir: models
    cmd: cat ../features/short.csv ../features/long.csv | sort > model.txt; echo trained >&2
    deps: [../features/short.csv, ../features/long.csv]
    params:
      - ../train.toml:
          - model.depth
    outs:
      - model.txt
      - log.txt: {persist: true}
  evaluate:
    cmd: wc -l < models/model.txt > score.txt
    deps: [models/model.txt]
    metrics:
      - score.txt: {cache: false}
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Project:
    """What DVC's stages can have beside files: several commands, `foreach`, `wdir`, parameters of other files, outputs that persist.

    None of them is a stage of goodfit. DVC's public example runs through the whole flow in tests/flows/test_training.py.
    """
    project = Project(tmp_path / "example")
    for folder in ("src", "models"):
        (project.root / folder).mkdir(parents=True)
    (project.root / "dvc.yaml").write_text(PIPELINE)
    (project.root / "params.yaml").write_text("prepare: {seed: 1, other: 2}\n")
    (project.root / "train.toml").write_text("[model]\ndepth = 2\n")
    (project.root / "data.csv").write_text("".join(f"row {number}\n" for number in range(20)))
    (project.root / "models/log.txt").write_text("began\n")
    (project.root / "src/prepare.py").write_text(
        "import sys\nfrom pathlib import Path\nPath(sys.argv[2]).write_text(Path(sys.argv[1]).read_text().upper())\nprint('prepared')\n"
    )
    (project.root / "src/featurize.py").write_text(
        "import sys\nfrom pathlib import Path\nrows = Path(sys.argv[2]).read_text().splitlines()\n"
        "Path(sys.argv[3]).parent.mkdir(exist_ok=True)\n"
        "Path(sys.argv[3]).write_text(''.join(row[:int(sys.argv[1])] + '\\n' for row in rows))\n"
    )
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    return project


STAGES = ("prepare", "featurize@short", "featurize@long", "train", "evaluate")


def gate(project: Project, script: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a script that has `pass_gate`, in this project's folder but with this tree's code."""
    return project.run(sys.executable, "-c", f"from flows.gate import pass_gate\n{textwrap.dedent(script)}", check=check)


def pass_all(project: Project) -> list[str]:
    done = gate(project, f"for name in {STAGES}: print('outcome', pass_gate(name))")
    return [line.removeprefix("outcome ") for line in done.stdout.splitlines() if line.startswith("outcome ")]


# Any DVC pipeline.


def test_the_graph_is_that_of_dvc_yaml(foreign: Project) -> None:
    graph = read_graph(foreign.root)
    assert list(graph) == list(STAGES)
    assert graph["prepare"] == frozenset()
    assert graph["train"] == {"featurize@short", "featurize@long"}
    assert graph["evaluate"] == {"train"}


def test_a_pipeline_of_other_commands_runs_and_both_doors_record_the_same(foreign: Project) -> None:
    assert pass_all(foreign) == ["ran"] * 5
    assert pass_all(foreign) == ["unchanged"] * 5
    assert foreign.is_clean()
    recorded = foreign.text("dvc.lock")
    (foreign.root / "dvc.lock").unlink()
    foreign.run("dvc", "repro", "--force")
    assert foreign.text("dvc.lock") == recorded


def test_parameters_of_other_files_and_nested_keys_count(foreign: Project) -> None:
    pass_all(foreign)
    foreign.edit("params.yaml", "other: 2", "other: 3")
    assert pass_all(foreign) == ["unchanged"] * 5
    foreign.edit("train.toml", "depth = 2", "depth = 3")
    assert pass_all(foreign) == ["unchanged"] * 3 + ["ran", "unchanged"]
    foreign.edit("train.toml", "depth = 3", "depth = 2")
    foreign.edit("params.yaml", "seed: 1", "seed: 2")
    assert pass_all(foreign)[0] == "ran"
    foreign.edit("params.yaml", "seed: 2", "seed: 1")
    assert pass_all(foreign)[0] == "restored"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("echo more >> data.csv", "data.csv"),
        ("sed -i s/1/7/ params.yaml", "params.yaml: prepare.seed"),
        ("echo '# edited' >> src/prepare.py", "src/prepare.py"),
    ],
)
def test_an_input_that_changes_while_another_command_runs_is_refused(foreign: Project, line: str, named: str) -> None:
    foreign.edit("dvc.yaml", "      - mkdir -p prepared\n", f'      - mkdir -p prepared\n      - "{line}"\n')
    done = gate(foreign, "pass_gate('prepare')", check=False)
    assert done.returncode == 1
    assert f"prepare: changed while it ran: {named}; nothing was recorded" in done.stderr
    assert not (foreign.root / "dvc.lock").exists()
    assert not (foreign.root / "prepared").exists()
    assert not list((foreign.root / ".dvc/cache").glob("runs/**/*"))


def test_an_output_that_persists_is_not_removed(foreign: Project) -> None:
    foreign.edit("dvc.yaml", "echo trained >&2", "echo more >> ../features/short.csv")
    for name in STAGES[:3]:
        gate(foreign, f"pass_gate({name!r})")
    done = gate(foreign, "pass_gate('train')", check=False)
    assert "train: changed while it ran: features/short.csv" in done.stderr
    assert (foreign.root / "models/log.txt").read_text() == "began\n"
    assert not (foreign.root / "models/model.txt").exists()


def test_another_command_ends_with_the_gate(foreign: Project) -> None:
    foreign.edit("dvc.yaml", "- mkdir -p prepared", "- sleep 1000 & echo $! > pid; wait")
    run = foreign.start(sys.executable, "-c", "from flows.gate import pass_gate; pass_gate('prepare')")
    try:
        pid = foreign.root / "pid"
        wait_until(lambda: pid.exists() and pid.read_text().strip() != "")
        sleeping = psutil.Process(int(pid.read_text()))
        run.kill()
        wait_until(lambda: not sleeping.is_running() or sleeping.status() == psutil.STATUS_ZOMBIE, seconds=5)
    finally:
        run.kill()
        run.communicate()


def test_an_interrupt_ends_another_command(foreign: Project) -> None:
    foreign.edit("dvc.yaml", "- mkdir -p prepared", "- touch begun; sleep 1000")
    run = foreign.start(sys.executable, "-c", "from flows.gate import pass_gate; pass_gate('prepare')")
    wait_until((foreign.root / "begun").exists)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode != 0
    assert "KeyboardInterrupt" in said
    assert not (foreign.root / "dvc.lock").exists()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_the_failure_of_another_command_has_its_last_lines(foreign: Project) -> None:
    foreign.edit("dvc.yaml", "- mkdir -p prepared", "- echo no such luck >&2; exit 7")
    script = """
    from tasks.core.errors import GoodfitError
    try: pass_gate('prepare', output=lambda line: None)
    except GoodfitError as error: print(error)
    """
    said = gate(foreign, script).stdout
    assert "prepare: `echo no such luck >&2; exit 7` ended with exit code 7\n  no such luck" in said


# The stage's output, progress and errors.


@pytest.fixture
def long(diamond: World) -> Project:
    """A pipeline whose stage `left` works for a minute, and prints a line before that."""
    project = Project(diamond.root)
    project.edit("params.yaml", "left: {seconds: 0.3,", "left: {seconds: 60,")
    return project


def test_lines_and_progress_arrive_while_the_stage_runs(ran: Project) -> None:
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 400 ")
    script = """
    import time
    from flows.processes.locks import is_held
    lines, events, during, printing = [], [], [], []
    def progress(event): events.append(event); during.append(is_held(Path(), 'train'))
    def output(line): lines.append(line); printing.append(is_held(Path(), 'train'))
    from pathlib import Path
    print(pass_gate('train', output=output, progress=progress, environment={'GOODFIT_X': 'y'}))
    print(len(events), any(during) and any(printing), events[-1]['done'], events[-1]['total'], sorted(events[-1]['values']))
    print(lines[-1])
    """
    first, second, third = gate(ran, script).stdout.splitlines()[-3:]
    assert first == "ran"
    count, during, done, total, *values = second.split(" ", 4)
    assert (during, done, total) == ("True", "400", "400")
    assert values == ["['accuracy', 'loss', 'val_accuracy', 'val_loss']"]
    assert 2 <= int(count) < 200
    assert third.startswith("train: 400 epochs, kept 400")


def test_a_failing_stage_gives_its_own_message(ran: Project) -> None:
    ran.edit("params.yaml", "min_accuracy_lower_bound: null ", "min_accuracy_lower_bound: 0.999 ")
    script = """
    from tasks.core.errors import GoodfitError
    try: pass_gate('gates', output=lambda line: None)
    except GoodfitError as error: print(repr(str(error)))
    """
    said = gate(ran, script).stdout.splitlines()[-1]
    assert "gates: gates.min_accuracy_lower_bound is 0.999, and the interval of the test accuracy " in said
    assert "Traceback" not in said


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # bash becomes the command; dash waits for it and reports 137
def test_a_stage_that_was_killed_is_named_with_the_signal_and_leaves_no_output(
    diamond: World, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", shell)
    project = Project(diamond.root)
    project.edit("params.yaml", "split: {seconds: 0.1}", "split: {seconds: 2}")  # half of it after the first of two outputs
    script = """
    import os, signal, time
    from pathlib import Path
    from flows.processes.locks import read_holder
    def kill(line):
        if 'working' not in line: return  # a shell that waits says afterwards that it was killed
        while not Path('work/odd.txt').exists(): time.sleep(0.01)
        os.kill(read_holder(Path(), 'split').process.pid, signal.SIGKILL)
    pass_gate('split', output=kill)
    """
    done = gate(project, script, check=False)
    assert done.returncode == 1
    assert "split: `python -m flows.stage split` was ended by SIGKILL" in done.stderr
    assert not (project.root / "work/odd.txt").exists()


def test_stages_are_ended_in_order_and_no_other_starts_until_allowed(long: Project) -> None:
    script = """
    import threading, time
    from flows.gate import allow_stages, end_stages
    outcome = []
    begun = threading.Event()
    def output(line): print(line); begun.set()
    def run():
        try: outcome.append(pass_gate('left', output=output))
        except KeyboardInterrupt: outcome.append('interrupted')
    thread = threading.Thread(target=run)
    thread.start()
    begun.wait(120)
    end_stages(); thread.join()
    run()
    allow_stages()
    print(outcome)
    """
    printed = gate(long, script).stdout
    assert printed.splitlines()[-1] == "['interrupted', 'interrupted']"
    assert "interrupted: left wrote nothing" in printed
    assert not (long.root / "work/left.txt").exists()


def test_outside_of_the_gate_dvc_starts_commands_as_it_always_does(ran: Project) -> None:
    script = """
    import dvc.stage.run, threading
    original = dvc.stage.run.cmd_run
    pass_gate('gates')
    from dvc.repo import Repo
    with Repo('.') as repo: repo.reproduce('gates', single_item=True, force=True)
    """
    assert gate(ran, script).returncode == 0
    doors = [json.loads(line)["door"] for line in ran.text(".dvc/tmp/goodfit/journal.jsonl").splitlines() if '"gates"' in line]
    assert doors == ["dvc", "dvc"], "the second was started by DVC itself, and wrote its own line"


# What is recorded is what was sealed.


EDIT_IN_THE_MOMENT = """
from dvc.stage import Stage
save = Stage.save
def edited(stage, *arguments, **options):
    from pathlib import Path
    path = Path({file!r})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink(); path.write_bytes(content)
    return save(stage, *arguments, **options)
Stage.save = edited
"""


@pytest.fixture(params=["tasks/gates.py", "results/diagnosis.json", "results/gates.json"])
def file(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_gate_refuses_a_record_that_differs_from_the_seal(ran: Project, file: str) -> None:
    ran.edit("params.yaml", "min_accuracy_lower_bound: null ", "min_accuracy_lower_bound: 0.1 ")
    before = ran.text("dvc.lock")
    runs = set((ran.root / ".dvc/cache/runs").rglob("*"))
    done = gate(ran, EDIT_IN_THE_MOMENT.format(file=file) + "\npass_gate('gates')", check=False)
    assert done.returncode == 1, done.stdout
    assert (
        f"gates: what DVC was about to record is not what the stage read and wrote: {file}; nothing was recorded" in done.stderr
    )
    assert ran.text("dvc.lock") == before
    assert {path for path in (ran.root / ".dvc/cache/runs").rglob("*") if path.is_file()} <= runs
    assert not (ran.root / "results/gates.json").exists()


def test_what_plain_dvc_recorded_against_the_seal_is_found_by_the_next_command(ran: Project, file: str) -> None:
    assert check_record(ran.root) == []
    ran.edit("params.yaml", "min_accuracy_lower_bound: null ", "min_accuracy_lower_bound: 0.1 ")
    script = EDIT_IN_THE_MOMENT.format(file=file) + "\nfrom dvc.cli import main; import sys; sys.exit(main(['repro', 'gates']))"
    ran.run(sys.executable, "-c", script)
    (line,) = check_record(ran.root)
    assert line.startswith(f"gates: dvc.lock does not record what the stage read and wrote ({file})")
    assert "`dvc repro -f gates` runs it again" in line


def test_a_statement_that_is_not_checked_out_is_said_to_be_so(ran: Project) -> None:
    path = ran.root / "lineage/train.json"
    content = path.read_text()
    path.unlink()
    path.write_text(content + "\n")
    (line,) = check_record(ran.root)
    assert line == "train: lineage/train.json is not the one that dvc.lock records: `dvc checkout` brings that back"


WAITING = (
    "import threading, time; from flows.gate import end_stages, pass_gate; begin = time.monotonic(); "
    "threading.Timer(3, end_stages, (0,)).start()\n"
    "try: pass_gate('report', force=True)\n"
    "except KeyboardInterrupt: print('ended', time.monotonic() - begin < 30)"
)


@pytest.mark.slow
def test_a_run_that_waits_for_another_can_be_ended(ran: Project) -> None:
    info = {"pid": os.getpid(), "cmd": "another run"}
    (ran.root / ".dvc/tmp/rwlock").write_text(json.dumps({"write": {str(ran.root / "report/index.html"): info}, "read": {}}))
    printed = ran.run(sys.executable, "-c", WAITING).stdout
    assert "waiting for another run to finish" in printed
    assert printed.splitlines()[-1] == "ended True"


@pytest.mark.slow
def test_what_a_killed_dvc_left_beside_an_output_goes(ran: Project) -> None:
    left, kept = ran.root / "models/.ecuxjJ2KRxebZ0qs5O4CCQ.tmp", ran.root / "models/.notes.tmp"
    for file in (left, kept):
        file.write_text("half a model")
    assert ran.gate("train") == {"train": "unchanged"}
    assert not left.exists()
    assert kept.exists()


@pytest.mark.slow
def test_what_lies_beside_an_output_outside_of_the_repository_stays(foreign: Project) -> None:
    outside = foreign.root.parent / "outside"
    outside.mkdir()
    (outside / ".ecuxjJ2KRxebZ0qs5O4CCQ.tmp").write_text("of somebody else")
    declared = {"stages": {"away": {"cmd": "echo 1 > ../outside/out.txt", "outs": [{"../outside/out.txt": {"cache": False}}]}}}
    (foreign.root / "dvc.yaml").write_text(json.dumps(declared))
    assert foreign.gate("away") == {"away": "ran"}
    assert (outside / ".ecuxjJ2KRxebZ0qs5O4CCQ.tmp").exists()
