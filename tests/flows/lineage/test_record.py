"""An edit in the moment between a stage's end and DVC's own hashing, made for real: nothing in DVC is replaced.

The run is stopped while its stage works, the stage ends, a file is edited, and the run goes on: it hashes what was edited.
"""

import os
import shutil
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.digest import directory_md5
from flows.lineage.lock import Locked
from flows.lineage.record import Sealed, check_record, differences
from flows.processes.locks import is_held
from flows.server import TEMPORARY, prefect_server
from tasks.contracts.statement import Digest
from tests.conftest import ROOT, Project
from tests.faults.world import GATE, PARAMS, World

pytestmark = pytest.mark.slow

SLOWER = PARAMS.replace("seconds: 0.3", "seconds: 3")  # time to stop the run in
DOORS = {"dvc": ["dvc", "repro", "left"], "gate": [sys.executable, "-c", GATE, "left"]}


@pytest.fixture
def world(diamond: World) -> World:
    """The small pipeline with a stage that works for long enough."""
    (diamond.root / "params.yaml").write_text(SLOWER)
    return diamond


@pytest.fixture(params=["work/odd.txt", "tasks/left.py", "work/left.txt"])
def file(request: pytest.FixtureRequest) -> str:
    """An input, the code and an output."""
    return str(request.param)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def edit(path: Path) -> None:
    """Replace the file by one with another empty line, as it may be a link into DVC's cache; every stage can still read it."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content + b"\n")


def run_and_edit_in_the_moment(world: World, door: str, file: str) -> tuple[int, str]:
    """The run's exit code and all that it printed."""
    project = Project(world.root)
    run = project.start(*DOORS[door])
    wait_until(lambda: is_held(world.root, "left"))
    os.kill(run.pid, signal.SIGSTOP)
    wait_until(lambda: not is_held(world.root, "left"))
    wait_until(lambda: not world.stage_processes())
    assert (world.root / "work/left.txt").exists(), "the stage ended as it does when nothing disturbs it"
    edit(world.root / file)
    os.kill(run.pid, signal.SIGCONT)
    printed = "".join(run.communicate(timeout=120))
    return run.returncode, printed


def cached_runs(world: World) -> set[Path]:
    return {path for path in (world.root / ".dvc/cache/runs").rglob("*") if path.is_file()}


def test_the_gate_refuses_the_record_and_takes_back_what_dvc_stored(world: World, file: str) -> None:
    before = (world.root / "dvc.lock").read_bytes()
    runs = cached_runs(world)
    code, printed = run_and_edit_in_the_moment(world, "gate", file)
    assert code == 1, printed
    assert f"left: what DVC was about to record is not what the stage read and wrote: {file}; nothing was recorded" in printed
    assert (world.root / "dvc.lock").read_bytes() == before
    assert cached_runs(world) == runs
    assert not (world.root / "work/left.txt").exists()


def test_the_run_after_a_refusal_needs_nobodys_help(world: World) -> None:
    """Not even an empty folder may stay in the run-cache: DVC would fail on it for ever."""
    code, printed = run_and_edit_in_the_moment(world, "gate", "work/left.txt")
    assert code == 1, printed
    done = world.run("dvc", "repro")
    assert done.returncode == 0, done.stdout
    assert check_record(world.root) == []


def test_after_plain_dvc_the_next_command_finds_it_and_names_the_cure(world: World, file: str) -> None:
    assert check_record(world.root) == []
    runs = cached_runs(world)
    code, printed = run_and_edit_in_the_moment(world, "dvc", file)
    assert code == 0, printed
    (wrong,) = cached_runs(world) - runs
    (line,) = check_record(world.root)
    assert line.startswith("left: ")
    assert f"dvc.lock does not record what the stage read and wrote ({file})" in line
    assert "`dvc repro -f left` runs it again" in line
    verified = world.run("python", "-m", "flows.cli", "lineage", "verify").stdout
    assert f"{wrong.relative_to(world.root)}: the run-cache has " in verified
    assert "in the statement that it brings back; `goodfit doctor` removes it" in verified
    removed, told = world.run("python", "-m", "flows.cli", "doctor").stdout.splitlines()
    assert removed.startswith(f"removed {wrong.relative_to(world.root)}, an entry of DVC's run-cache that does not record")
    assert removed.endswith(f"put {file})")  # input or output
    assert told == line
    assert cached_runs(world) == runs, "it would bring back results of other inputs later"
    done = world.run("dvc", "repro", "-f", "left")
    assert done.returncode == 0, done.stdout
    assert check_record(world.root) == []


@pytest.mark.parametrize(
    ("recorded", "sealed"),
    [({"a": False}, {"a": 0}), ({"a": 1}, {"a": 1.0}), ({}, {"a": None}), ({"a": [{"b": 1}]}, {"a": [{"b": True}]})],
)
def test_parameters_are_compared_with_their_types(tmp_path: Path, recorded: dict[str, Any], sealed: dict[str, Any]) -> None:
    def found(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
        return differences(tmp_path, Locked("", {}, {}, one), Sealed({}, {}, other))

    assert found(recorded, sealed) == found(sealed, recorded) == ["parameter a"]
    assert found(recorded, recorded) == found(sealed, sealed) == []


@pytest.mark.parametrize(("recorded", "sealed"), [("images", "{root}/images"), ("./images", "images"), ("images", "./images")])
def test_another_way_to_write_a_path_is_no_difference(tmp_path: Path, recorded: str, sealed: str) -> None:
    digest, other = Digest(sha256="5e", md5="5d"), Digest(sha256="6e", md5="6d")
    folder = directory_md5({"images/a.png": digest}, "images")
    below = sealed.format(root=tmp_path)
    for known, found in ((digest, []), (other, [recorded, f"{recorded}/a.png"])):
        locked = Locked("", {recorded: folder, f"{recorded}/a.png": digest.md5}, {}, {})
        assert differences(tmp_path, locked, Sealed({f"{below}/a.png": known}, {}, {})) == found


def test_what_dvc_makes_of_lists_and_mappings_is_no_difference(tmp_path: Path) -> None:
    class Listed(list[Any]): ...

    recorded = {"a": Listed([OrderedDict(b=1)]), "c": OrderedDict()}
    assert differences(tmp_path, Locked("", {}, {}, recorded), Sealed({}, {}, {"a": [{"b": 1}], "c": {}})) == []


def test_a_folder_in_place_of_a_statement_is_left_to_dvc(world: World) -> None:
    statement = world.root / "lineage/left.json"
    statement.unlink()
    statement.mkdir()
    assert check_record(world.root) == []
    done = world.run(*DOORS["gate"])
    assert done.returncode == 0, done.stdout
    assert statement.is_file()


def test_after_plain_dvc_the_gate_runs_it_again_and_says_why(world: World, file: str) -> None:
    assert_run_again_by(DOORS["gate"], world, file)


def test_after_plain_dvc_the_gate_names_an_input_that_is_gone(world: World) -> None:
    code, printed = run_and_edit_in_the_moment(world, "dvc", "work/odd.txt")
    assert code == 0, printed
    (world.root / "work/odd.txt").unlink()
    done = world.run(*DOORS["gate"])
    assert done.returncode == 1
    assert "left: its input" in done.stdout
    assert "work/odd.txt is missing" in done.stdout


@pytest.mark.prefect
def test_after_plain_dvc_the_flow_runs_it_again_and_says_why(world: World) -> None:
    with prefect_server(options=TEMPORARY) as url:
        world.variables["PREFECT_API_URL"] = url
        assert_run_again_by([sys.executable, "-m", "flows.cli", "run", "left"], world, "tasks/left.py")


def assert_run_again_by(command: list[str], world: World, file: str) -> None:
    runs = cached_runs(world)
    code, printed = run_and_edit_in_the_moment(world, "dvc", file)
    assert code == 0, printed
    assert len(check_record(world.root)) == 1
    wrong = cached_runs(world) - runs
    assert len(wrong) == 1
    done = world.run(*command)
    assert done.returncode == 0, done.stdout
    assert f"left: dvc.lock does not record what the stage read and wrote ({file})" in " ".join(done.stdout.split())
    assert check_record(world.root) == []
    assert cached_runs(world) & wrong == set(), "it would bring back results of other inputs later"
    again = world.run(*command)
    assert "does not record" not in again.stdout


def test_a_declared_lock_file_is_recorded_verified_and_bundled(world: World, tmp_path: Path) -> None:
    """What it locks is in the statement beside it, under the same name and with other digests."""
    shutil.copy2(ROOT / "requirements.lock", world.root / "requirements.lock")
    text, head = (world.root / "dvc.yaml").read_text(), "    cmd: python -m flows.stage left\n    deps:\n"
    assert text.count(head) == 1
    (world.root / "dvc.yaml").write_text(text.replace(head, f"{head}      - requirements.lock\n"))
    done = world.run(*DOORS["gate"])
    assert done.returncode == 0, done.stdout
    assert check_record(world.root) == []
    done = world.run("dvc", "repro")  # what comes after it
    assert done.returncode == 0, done.stdout
    for command in (("goodfit", "lineage", "verify"), ("goodfit", "lineage", "bundle", "--output", str(tmp_path / "out"))):
        done = world.run(*command)
        assert done.returncode == 0, done.stdout
    done = world.run(sys.executable, str(tmp_path / "out/verify.py"))
    assert done.stdout.startswith("consistent: "), done.stdout


@pytest.mark.parametrize("file", ["source", "made"])
def test_the_gate_refuses_an_edited_input_of_another_command(tmp_path: Path, file: str) -> None:
    """What another command writes is not known to the gate: only its inputs are sealed."""
    project = Project(tmp_path / "other")
    project.root.mkdir()
    (project.root / "source").write_text("content")
    (project.root / "dvc.yaml").write_text(
        "stages: {left: {cmd: 'touch begun; while [ ! -e go ]; do sleep 0.05; done; cp source made; touch ended', "
        "deps: [source], outs: [made]}}\n"
    )
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    run = project.start(*DOORS["gate"])
    wait_until((project.root / "begun").exists)
    os.kill(run.pid, signal.SIGSTOP)
    (project.root / "go").touch()
    wait_until((project.root / "ended").exists)
    edit(project.root / file)
    os.kill(run.pid, signal.SIGCONT)
    printed = "".join(run.communicate(timeout=120))
    assert (run.returncode == 1) == (file == "source"), printed
    assert (project.root / "dvc.lock").exists() == (file == "made")
    if file == "source":
        assert "left: changed while it ran: source; nothing was recorded" in printed
