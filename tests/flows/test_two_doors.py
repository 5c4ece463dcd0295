"""`dvc repro` and the flow's gate share one record: shown on real Git and DVC repositories."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.processes.locks import read_holder
from tests.conftest import GATE, STAGES, Project
from tests.faults.world import STAGES as DIAMOND_STAGES
from tests.faults.world import World

pytestmark = pytest.mark.slow

SLOW_TRAINING = ("epochs: 3 ", "epochs: 100000 ")
DOORS = {
    "dvc": ("dvc", "repro", "train"),
    "flow": (sys.executable, "-c", GATE, "download", "preprocess", "train"),
}
LEFT_DOORS = {"dvc": ("dvc", "repro", "left"), "flow": (sys.executable, "-c", GATE, "left")}  # of the small pipeline


@pytest.fixture
def training(ran: Project, door: str) -> "Iterator[tuple[Project, TrainingRun]]":
    """A run that is in the middle of the stage `train`, and would stay there for minutes."""
    ran.edit("params.yaml", *SLOW_TRAINING)
    ran.run("git", "commit", "-qam", "Train for long")
    run = TrainingRun(ran, door)
    try:
        yield ran, run
    finally:
        run.kill()


class TrainingRun:
    """A process of one door, whose child runs the stage."""

    def __init__(self, project: Project, door: str) -> None:
        self.process = project.start(*DOORS[door])
        self.root = project.root
        deadline = time.monotonic() + 120
        while not self.is_training():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "training did not start"
            time.sleep(0.05)

    def is_training(self) -> bool:
        """Whether the stage has loaded torch, which `train` does after the inputs are sealed and not before."""
        holder = read_holder(self.root, "train")
        if holder is None or not holder.process.is_alive():
            return False
        try:
            return "libtorch_cpu" in Path(f"/proc/{holder.process.pid}/maps").read_text()
        except OSError:  # it has ended meanwhile
            return False

    def kill(self) -> None:
        """The stage ends with its leader."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def interrupt(self) -> None:
        """As Ctrl-C in a terminal: the whole group is told, and told again while a library's import swallows it."""
        for _ in range(60):
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                continue
            return
        pytest.fail("did not end on SIGINT")


def start_left(diamond: World, door: str, seconds: int, log: Path) -> "subprocess.Popen[bytes]":
    """A run that is in the middle of the small pipeline's stage `left`, whose inputs are sealed, for some seconds more."""
    Project(diamond.root).edit("params.yaml", "left: {seconds: 0.3,", f"left: {{seconds: {seconds},")
    run = diamond.start_command(log, *LEFT_DOORS[door])
    deadline = time.monotonic() + 60
    while "left: working\n" not in log.read_text():
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "the stage did not start"
        time.sleep(0.02)
    return run


def test_both_doors_write_the_same_bytes_and_the_same_lock(fresh: Project, ran: Project) -> None:
    assert set(fresh.gate().values()) == {"ran"}
    assert fresh.text("dvc.lock") == ran.text("dvc.lock")
    assert fresh.outputs() == ran.outputs()
    assert fresh.repro() == set(), "after the flow DVC does nothing"
    assert fresh.is_clean()


def test_after_dvc_the_flow_does_nothing(ran: Project) -> None:
    assert set(ran.gate().values()) == {"unchanged"}
    assert ran.is_clean()
    assert ran.run("git", "status", "--short").stdout == ""


CHANGES = {
    "preprocess": ("val_fraction: 0.4 ", "val_fraction: 0.3 "),
    "train": ("epochs: 3 ", "epochs: 4 "),
    "compress": ("methods: [] ", "methods: [prune] "),
    "evaluate": ("calibration_bins: 15 ", "calibration_bins: 10 "),
    "explain": ("images: 3 ", "images: 2 "),
    "diagnose": ("alpha: 0.05 ", "alpha: 0.01 "),
    "report": ("most_wrong: 24 ", "most_wrong: 12 "),
    "gates": ("fail_on: [] ", "fail_on: [leakage] "),
}


def test_a_change_in_a_section_belongs_to_that_stage_alone(ran: Project) -> None:
    """What DVC says has changed for each stage; the stages behind it follow from what it writes."""
    for change in CHANGES.values():
        ran.edit("params.yaml", *change)
    status = json.loads(ran.run("dvc", "status", "--json").stdout)
    assert status == {stage: [{"changed deps": {"params.yaml": {stage: "modified"}}}] for stage in CHANGES}


def test_a_change_that_is_taken_back_is_restored_through_either_door(ran: Project) -> None:
    before, there, back = ran.text("dvc.lock"), "calibration_bins: 15 ", "calibration_bins: 10 "
    stages = {"evaluate", "report", "gates"}
    ran.edit("params.yaml", there, back)
    assert ran.repro() == stages
    changed = ran.text("dvc.lock")

    ran.edit("params.yaml", back, there)
    outcomes = ran.gate()
    assert {name for name, outcome in outcomes.items() if outcome == "restored"} == stages
    assert {name for name, outcome in outcomes.items() if outcome == "unchanged"} == set(STAGES) - stages
    assert ran.text("dvc.lock") == before

    ran.edit("params.yaml", there, back)
    assert ran.repro() == set(), "dvc repro restores what it ran itself"
    assert ran.text("dvc.lock") == changed


def test_a_change_in_code_reruns_only_the_stages_that_import_it(ran: Project) -> None:
    path = ran.root / "tasks/report.py"
    path.write_text(path.read_text() + "\n# a comment\n")
    outcomes = ran.gate()
    assert {name for name, outcome in outcomes.items() if outcome == "ran"} == {"report"}
    assert ran.repro() == set()


def test_force_runs_the_stage_and_ends_with_the_same_bytes(ran: Project) -> None:
    before = ran.text("dvc.lock")
    script = "from flows.gate import pass_gate; print(pass_gate('train', force=True))"
    assert ran.run(sys.executable, "-c", script).stdout.splitlines()[-1] == "ran"
    assert ran.text("dvc.lock") == before


def test_force_on_a_frozen_stage_records_nothing_new(ran: Project) -> None:
    ran.edit("dvc.yaml", "    cmd: python -m flows.stage train\n", "    cmd: python -m flows.stage train\n    frozen: true\n")
    before = ran.text("dvc.lock")
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    script = "from flows.gate import pass_gate; print(pass_gate('train', force=True))"
    assert ran.run(sys.executable, "-c", script).stdout.splitlines()[-1] == "unchanged"
    assert ran.text("dvc.lock") == before


@pytest.mark.parametrize(("door", "file"), [("dvc", "params.yaml"), ("flow", "tasks/left.py"), ("dvc", "work/odd.txt")])
def test_an_edit_in_the_middle_of_a_run_is_refused(diamond: World, tmp_path: Path, door: str, file: str) -> None:
    before = (diamond.root / "dvc.lock").read_bytes()
    run = start_left(diamond, door, 3, tmp_path / "log")
    path = diamond.root / file
    edited = path.with_suffix(".edited")
    # As long as before, and every file can still be read: a parameter of the stage, and the last byte of code or data.
    edited.write_bytes(path.read_bytes().replace(b"factor: 2", b"factor: 3")[:-1] + b" ")
    edited.replace(path)  # DVC makes its data read-only links or copies; a rename replaces either, as an editor does
    code, printed = run.wait(60), (tmp_path / "log").read_text()
    assert code != 0
    assert re.search(r"left: changed while it ran: .*" + re.escape(file), printed), printed
    assert (diamond.root / "dvc.lock").read_bytes() == before
    assert not (diamond.root / "work/left.txt").exists()
    assert not (diamond.root / "lineage/left.json").exists()


@pytest.mark.parametrize("door", LEFT_DOORS)
def test_a_failing_stage_leaves_the_lock_and_the_previous_outputs(diamond: World, door: str) -> None:
    project, before = Project(diamond.root), diamond.record()
    project.edit("params.yaml", "left: {seconds: 0.3,", "left: {seconds: -1,")
    failed = project.run(*LEFT_DOORS[door], check=False)
    assert failed.returncode != 0
    assert "sleep length must be non-negative" in failed.stderr
    assert project.text("dvc.lock").encode() == before["dvc.lock"]
    project.edit("params.yaml", "left: {seconds: -1,", "left: {seconds: 0.3,")
    assert project.gate("left") == {"left": "restored"}
    assert diamond.record() == before


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("then", DOORS)
def test_either_door_recovers_after_kill_9(training: "tuple[Project, TrainingRun]", then: str) -> None:
    project, run = training
    run.kill()
    project.edit("params.yaml", *reversed(SLOW_TRAINING))
    assert project.run(*DOORS[then]).returncode == 0
    assert project.run("dvc", "status", "train").stdout.strip() == "Data and pipelines are up to date."
    assert not list(project.root.glob("**/*.partial"))


@pytest.mark.parametrize("door", DOORS)
def test_an_interrupt_ends_the_run_and_leaves_the_lock(training: "tuple[Project, TrainingRun]") -> None:
    project, run = training
    before = project.text("dvc.lock")
    run.interrupt()
    assert run.process.returncode != 0
    assert project.text("dvc.lock") == before


def test_the_second_door_waits_and_then_says_what_for(diamond: World, tmp_path: Path) -> None:
    start_left(diamond, "dvc", 60, tmp_path / "log")
    script = "from flows.gate import pass_gate; pass_gate('left', wait_seconds=2)"
    second = Project(diamond.root).run(sys.executable, "-c", script, check=False)
    assert second.returncode != 0
    assert "left: waiting for another run to finish" in second.stdout
    assert "still busy after 2 s; nothing was changed" in second.stderr


def test_dvc_ends_with_a_clear_message_while_the_flow_runs_a_stage(diamond: World, tmp_path: Path) -> None:
    start_left(diamond, "flow", 60, tmp_path / "log")
    second = Project(diamond.root).run("dvc", "repro", "left", check=False)
    assert second.returncode != 0
    assert "is busy, it is being blocked by" in second.stderr


def test_two_doors_at_once_never_corrupt_the_lock(diamond: World, tmp_path: Path) -> None:
    project = Project(diamond.root)
    project.edit("params.yaml", "seed: 1", "seed: 2")  # every stage has to run
    undisturbed = World(Path(shutil.copytree(diamond.root, tmp_path / "undisturbed")))
    assert undisturbed.run("dvc", "repro").returncode == 0

    doors = [project.start(sys.executable, "-c", GATE, *DIAMOND_STAGES), project.start("dvc", "repro")]
    printed = ["".join(door.communicate(timeout=300)) for door in doors]
    flow, dvc = (door.returncode for door in doors)
    assert flow == 0, printed[0]  # the gate waits
    assert dvc == 0 or "busy" in printed[1], printed[1]
    project.run("dvc", "repro")
    assert diamond.record() == undisturbed.record()


def test_two_gates_at_once_do_the_work_once(diamond: World) -> None:
    project = Project(diamond.root)
    project.edit("params.yaml", "seed: 1", "seed: 2")  # every stage has to run
    doors = [project.start(sys.executable, "-c", GATE, *DIAMOND_STAGES) for _ in range(2)]
    printed = [door.communicate(timeout=300) for door in doors]
    assert [door.returncode for door in doors] == [0, 0], printed
    outcomes = [out.splitlines()[-1].split() for out, _ in printed]
    assert all(sorted(pair) in (["ran", "unchanged"], ["ran", "restored"]) for pair in zip(*outcomes, strict=True)), outcomes


def test_the_statement_and_the_journal_are_written(ran: Project) -> None:
    journal = Path(ran.root / ".dvc/tmp/goodfit/journal.jsonl").read_text().splitlines()
    assert len(journal) == len(STAGES)
    assert all('"outcome": "ran"' in line and '"door": "dvc"' in line for line in journal)
    ignored = ran.run("git", "check-ignore", ".dvc/tmp/goodfit/journal.jsonl", "lineage/train.json").stdout.split()
    assert ignored == [".dvc/tmp/goodfit/journal.jsonl", "lineage/train.json"]


def test_a_folder_of_ones_own_that_is_missing_is_named(fresh: Project) -> None:
    fresh.edit("params.yaml", "dataset: {name: digits} ", "dataset: {name: image_folder} ")
    fresh.edit("params.yaml", "path: data/source/README.md ", "path: pictures ")
    refused = fresh.run(sys.executable, "-c", GATE, "download", check=False)
    assert refused.returncode == 1
    assert f"download: its input {fresh.root}/pictures is missing" in refused.stderr
