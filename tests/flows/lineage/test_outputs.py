"""Where a verb may write."""

from pathlib import Path

import pytest

from flows.lineage.outputs import require_new, require_place
from tasks.core.errors import GoodfitError
from tests.conftest import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A stage that reads a folder of the project and one outside of it, and writes a file."""
    root = tmp_path / "project"
    (root / "data/raw").mkdir(parents=True)
    (root / "params.yaml").write_text("{}\n")
    stage = "{cmd: x, deps: [data/raw, ../images], outs: [results/table.csv]}"
    (root / "dvc.yaml").write_text(f"stages:\n  read: {stage}\n")
    return Project(root)


@pytest.mark.parametrize(
    ("target", "changed"),
    [
        ("data/raw", "data/raw"),
        ("data/raw/out", "data/raw"),
        ("data/raw/../raw/out", "data/raw"),
        ("data", "data/raw"),
        ("results", "results/table.csv"),
        ("../images", "../images"),
        ("link/raw/out", "data/raw"),
    ],
)
def test_what_a_stage_declares_is_no_place_for_anything_else(project: Project, target: str, changed: str) -> None:
    """Neither below it, nor where it has to lie itself, nor through a link."""
    (project.root / "link").symlink_to("data")
    with pytest.raises(
        GoodfitError, match=rf"would change {changed}, which stage 'read' declares in dvc\.yaml, and with it the record"
    ):
        require_place(project.root, project.root / target)


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml", "params.yaml"])
def test_the_record_itself_is_no_place(project: Project, name: str) -> None:
    with pytest.raises(GoodfitError, match=f"would change {name}, a file of the record"):
        require_place(project.root, project.root / name)


def test_a_folder_behind_a_link_is_known_by_both_names(project: Project, tmp_path: Path) -> None:
    (project.root / "data/raw").rmdir()
    (tmp_path / "disk/out").mkdir(parents=True)
    (project.root / "data/raw").symlink_to(tmp_path / "disk")
    with pytest.raises(GoodfitError, match="would change data/raw"):
        require_place(project.root, tmp_path / "disk/out/file")


def test_a_new_place_is_in_a_folder_that_exists_and_has_nothing_in_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root / "data")
    require_new(project.root, Path("out.zip"))  # relative to where the user is
    with pytest.raises(GoodfitError, match="nowhere is not a folder, so that out cannot be written into it: make it first"):
        require_new(project.root, Path("nowhere/out"))
    Path("taken").mkdir()
    Path("link").symlink_to("gone")
    for name in ("taken", "link"):
        with pytest.raises(GoodfitError, match=f"{name} exists already; expected a new name"):
            require_new(project.root, Path(name))
    Path("page.md").write_text("old")
    require_place(project.root, Path("page.md"))  # a page may be written anew
