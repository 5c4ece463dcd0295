"""Inputs that no stage writes, brought into a clean clone and nowhere else."""

from pathlib import Path

import pytest

from flows.lineage.digest import digest_file
from flows.lineage.reading.source_data import FROM_CACHE, FROM_TREE, bring_sources, md5_of
from flows.lineage.reproduction.clean_clone import clean_clone
from tasks.core.errors import GoodfitError
from tests.flows.lineage.world import World


def commit(world: World, name: str = "README.md") -> str:
    world.put(name, "1")
    world.run("git", "commit", "-qm", "Start")
    return world.run("git", "rev-parse", "HEAD").stdout.strip()


def test_inputs_in_and_beside_the_project_come_from_the_cache_and_the_tree(world: World) -> None:
    beside = world.root.parent / f"{world.root.name}.txt"
    beside.write_text("beside")
    (world.root / "images").mkdir()
    (world.root / "images/1.png").write_text("one")
    folder = md5_of(world.root, "images")
    assert folder
    wanted = {"data.txt": world.cache("data"), f"../{beside.name}": digest_file(beside).md5, "images": folder}
    with clean_clone(world.root, commit(world)) as clone:
        brought = bring_sources(world.root, clone.root, wanted)
        assert [(one.path, one.origin) for one in brought] == [
            ("data.txt", FROM_CACHE),
            (f"../{beside.name}", FROM_TREE),
            ("images", FROM_TREE),
        ]
        assert (clone.root.parent / beside.name).read_text() == "beside"
        assert (clone.root / "images/1.png").read_text() == "one"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_input_is_not_written_outside_of_the_clone(world: World, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    evil = world.cache("evil")
    path = "../" * 40 + str(outside / "x")[1:]
    wanted = {path: evil if kind == "file" else world.folder(inner=evil)}
    with clean_clone(world.root, commit(world)) as clone, pytest.raises(GoodfitError, match="outside of the temporary folder"):
        bring_sources(world.root, clone.root, wanted)
    assert not outside.exists()


@pytest.mark.parametrize("link", ["data", "data.txt"])
def test_an_input_is_not_written_through_a_committed_link(world: World, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    (world.root / link).symlink_to(outside)
    world.run("git", "add", link)
    path = "data/x.txt" if link == "data" else link
    wanted = {path: world.cache("evil")}
    with clean_clone(world.root, commit(world)) as clone, pytest.raises(GoodfitError, match=f"{path}, an input, leads to"):
        bring_sources(world.root, clone.root, wanted)
    assert not outside.exists()


def test_the_settings_of_a_clone_are_not_written_through_a_committed_link(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (world.root / ".dvc/config.local").symlink_to(outside)
    world.run("git", "add", "-f", ".dvc/config.local")
    with clean_clone(world.root, commit(world)) as clone:
        assert f"dir = {clone.folder / 'cache'}" in (clone.root / ".dvc/config.local").read_text()
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("link", [".dvc", "project"])
def test_no_settings_are_written_into_a_folder_that_a_committed_link_leads_to(world: World, tmp_path: Path, link: str) -> None:
    """The second: the project is a folder of the Git repository, and was a link to another one at that commit."""
    outside, project = tmp_path / "outside", tmp_path / ("project" if link == "project" else "")
    outside.mkdir()
    for place in (tmp_path / ".dvc", tmp_path / "project"):
        if place.exists():
            place.rmdir()
    (tmp_path / link).symlink_to(outside)
    world.run("git", "add", link)
    made = commit(world)
    if link == "project":
        project.unlink()
        project.mkdir()
    with pytest.raises(GoodfitError, match=r"\.dvc is a file or leads elsewhere \(to .*outside"), clean_clone(project, made):
        pass
    assert list(outside.iterdir()) == []
