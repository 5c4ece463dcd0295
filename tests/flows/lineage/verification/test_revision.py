"""A revision in a temporary folder: all of the commit is there, and nothing is written or believed outside of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.verification.revision import checked_out
from tasks.core.errors import GoodfitError
from tasks.core.settings import load_yaml
from tests.conftest import ROOT
from tests.flows.lineage.small import Small
from tests.flows.lineage.world import World

VERIFY = ("python", "-m", "flows.cli", "lineage", "verify", "--rev", "HEAD")


def commit_stage(project: Small, **parts: list[Any]) -> None:
    """Commit a stage that somebody wrote by hand, with the lists that dvc.yaml and dvc.lock have of it."""
    for file, entry in (
        ("dvc.yaml", {kind: [one["path"] for one in ones] for kind, ones in parts.items()}),
        ("dvc.lock", parts),
    ):
        document = load_yaml(project.root / file)
        document["stages"]["evil"] = {"cmd": "echo", **entry}
        (project.root / file).write_text(json.dumps(document))  # which is YAML
    project.run("git", "add", "dvc.yaml", "dvc.lock")
    project.run("git", "commit", "-qm", "Evil")


def store(project: Small, content: bytes, ending: str = "") -> str:
    return World(project.root).store(content, ending)


def refused(project: Small, said: str) -> None:
    """In the process and for the person, and no folder of it is left."""
    with pytest.raises(GoodfitError, match=said), checked_out(project.root, "HEAD"):
        pytest.fail("it was checked out")
    done = project.run(*VERIFY, check=False, PYTHONPATH=str(ROOT))
    assert done.returncode == 4
    assert done.stderr.startswith("error: nothing was read of the revision: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("way", ["absolute", "relative"])
def test_an_output_outside_of_the_repository_is_refused(small: Small, tmp_path: Path, way: str) -> None:
    target = tmp_path / "outside/x"
    path = str(target) if way == "absolute" else "../" * 40 + str(target)[1:]
    commit_stage(small, outs=[{"path": path, "md5": store(small, b"evil")}])
    refused(small, "outside of the repository; expected paths within it")
    assert not target.parent.exists()


def test_a_list_that_leads_out_of_its_folder_is_refused(small: Small, tmp_path: Path) -> None:
    member = {"md5": store(small, b"evil"), "relpath": "../" * 40 + str(tmp_path / "outside/x")[1:]}
    commit_stage(small, outs=[{"path": "list", "md5": store(small, json.dumps([member]).encode(), ".dir")}])
    refused(small, r"the list of list in DVC's cache, .*: found the path '\.\./.* expected one below the folder")
    assert not (tmp_path / "outside").exists()


def test_a_list_with_a_file_in_the_place_of_a_folder_is_refused(small: Small) -> None:
    md5 = store(small, b"evil")
    members = [{"md5": md5, "relpath": "a/b"}, {"md5": md5, "relpath": "a"}]
    commit_stage(small, outs=[{"path": "list", "md5": store(small, json.dumps(members).encode(), ".dir")}])
    refused(small, "list/a cannot lie beside what else the revision records")


@pytest.mark.parametrize("within", ["model", "part.txt"])
def test_a_committed_link_out_of_the_repository_is_refused(small: Small, tmp_path: Path, within: str) -> None:
    """The output would be written there, or what lies there would be verified in its place."""
    victim = tmp_path / "victim"
    (victim / "x").mkdir(parents=True)
    path = small.root / within
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(victim)
    small.run("git", "add", "-f", within)
    small.run("git", "commit", "-qm", "Link")
    refused(small, f"{within} leads to {victim}, outside of the repository")
    assert [file.name for file in victim.rglob("*")] == ["x"]


def test_an_input_outside_is_read_in_place_and_no_link_is_made_there(small: Small, tmp_path: Path) -> None:
    outside = tmp_path / "data.txt"
    outside.write_text("data")
    paths = (str(outside), "../data.txt", "../" * 40 + str(outside)[1:], "../" * 40 + str(tmp_path / "nothing")[1:])
    commit_stage(small, deps=[{"path": path, "md5": store(small, b"data")} for path in paths])
    with checked_out(small.root, "HEAD") as there:
        assert all((there / path).read_text() == "data" for path in paths[:3])
        assert not (there / paths[3]).exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data.txt", "small"]


def test_code_is_that_of_the_commit_whatever_an_archive_would_leave_out(small: Small) -> None:
    (small.root / ".gitattributes").write_text("fit.sh export-ignore\ndata.txt export-subst\n")
    (small.root / "data.txt").write_text("$Format:%H$\n")
    small.commit("Attributes")
    committed = small.text("fit.sh")
    (small.root / "fit.sh").write_text("other\n")
    with checked_out(small.root, "HEAD") as there:
        assert not (there / "fit.sh").is_symlink()
        assert (there / "fit.sh").read_text() == committed
        assert (there / "data.txt").read_text() == "$Format:%H$\n"
    assert small.run("git", "status", "--short").stdout == " M fit.sh\n"


def test_all_files_are_there_where_the_working_tree_has_only_some_of_them(small: Small) -> None:
    (small.root / "more").mkdir()
    (small.root / "more/x.txt").write_text("x")
    small.commit("More")
    small.run("git", "sparse-checkout", "set", "elsewhere")
    assert not (small.root / "more").exists()
    with checked_out(small.root, "HEAD") as there:
        assert (there / "more/x.txt").read_text() == "x"


def test_a_project_below_the_top_sees_the_committed_files_beside_it(small: Small, tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    shutil.rmtree(small.root / ".git")
    below = Small(Path(shutil.move(small.root, top / "project")))
    (top / "shared.txt").write_text("committed")
    outer = Small(top)
    outer.run("git", "init", "-q")
    outer.run("git", "add", "shared.txt", "project")
    outer.run("git", "commit", "-qm", "Start")
    commit_stage(below, deps=[{"path": "../shared.txt", "md5": "0" * 32}])
    (top / "shared.txt").write_text("edited")
    with checked_out(below.root, "HEAD") as there:
        assert (there / "../shared.txt").read_text() == "committed"
        assert (there / "part.txt").read_text() == below.text("part.txt")
