"""DVC's run-cache after a kill in the middle of a write."""

import shutil
import sys
from pathlib import Path

import pytest

from flows.processes.run_cache import mend_run_cache
from tests.conftest import Project

pytestmark = pytest.mark.slow

GATE = "from flows.gate import pass_gate; print(pass_gate('copy'))"
HOLD = (
    "import time; from dvc.lock import make_lock\n"
    "with make_lock('.dvc/tmp/lock', tmp_dir='.dvc/tmp'): print('held', flush=True); time.sleep(300)"
)


@pytest.fixture(scope="module", params=["in the repository", "shared"])
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository with one stage that has run; its cache lies in the repository, or beside it for several ones."""
    project = Project(tmp_path_factory.mktemp("template") / "copying")
    project.root.mkdir()
    (project.root / "dvc.yaml").write_text("stages: {copy: {cmd: cp source copied, deps: [source], outs: [copied]}}\n")
    (project.root / "source").write_text("content")
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    if request.param == "shared":
        project.run("dvc", "cache", "dir", "../cache")
    project.run("dvc", "repro")
    return project.root.parent


@pytest.fixture
def copying(template: Path, tmp_path: Path) -> Project:
    """A copy of its own for each test."""
    return Project(Path(shutil.copytree(template, tmp_path / "world")) / "copying")


def entries(project: Project) -> list[Path]:
    """The finished entries, wherever the cache is."""
    folders = (project.root.parent / "cache/runs", project.root / ".dvc/cache/runs")
    return [file for folder in folders for file in folder.rglob("*") if file.is_file()]


def interrupt_the_write(project: Project, left: str) -> Path:
    """Leave the only entry as a kill leaves it, with its stage to be run again; return the entry's folder."""
    (entry,) = entries(project)
    if left:
        (entry.parent / left).write_text("cmd: c")
    entry.unlink()
    for name in ("copied", "dvc.lock"):
        (project.root / name).unlink()
    return entry.parent


@pytest.mark.parametrize("left", ["", ".ecuxjJ2KRxebZ0qs5O4CCQ.tmp"])
def test_the_gate_removes_an_unfinished_entry_and_says_so(copying: Project, left: str) -> None:
    folder = interrupt_the_write(copying, left)
    done = copying.run(sys.executable, "-c", GATE)
    assert f"{folder.name}, an entry of DVC's run-cache that was not finished" in done.stdout
    assert done.stdout.splitlines()[-1] == "ran"
    assert len(entries(copying)) == 1
    assert copying.is_clean()


@pytest.mark.parametrize("left", ["", ".ecuxjJ2KRxebZ0qs5O4CCQ.tmp"])
def test_an_unfinished_entry_is_removed_by_name(copying: Project, left: str) -> None:
    folder = interrupt_the_write(copying, left)
    (line,) = mend_run_cache(copying.root)
    assert folder.name in line
    assert not folder.exists()
    assert mend_run_cache(copying.root) == []
    copying.run("dvc", "repro")


def test_an_unfinished_file_beside_a_finished_entry_is_removed_and_the_entry_restored(copying: Project) -> None:
    (entry,) = entries(copying)
    unfinished = entry.parent / ".ecuxjJ2KRxebZ0qs5O4CCQ.tmp"
    unfinished.write_text("cmd: c")  # the newest file is the one that DVC reads
    for name in ("copied", "dvc.lock"):
        (copying.root / name).unlink()
    assert "'outs'" in copying.run("dvc", "repro", check=False).stderr
    done = copying.run(sys.executable, "-c", GATE)
    assert done.stdout.splitlines()[-1] == "restored"
    assert entries(copying) == [entry]
    assert copying.is_clean()


@pytest.mark.slow
def test_nothing_is_removed_while_another_process_may_be_writing(copying: Project) -> None:
    folder = interrupt_the_write(copying, "")
    holder = copying.start(sys.executable, "-c", HOLD)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert mend_run_cache(copying.root) == []
        assert folder.exists()
    finally:
        holder.kill()
        holder.communicate()
    assert len(mend_run_cache(copying.root)) == 1
