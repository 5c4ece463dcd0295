"""What the watch takes for read, and what for this process's own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.processes.fanotify import Fanotify
from flows.reads import Watch


def seen(root: Path, act: Callable[[], object]) -> tuple[set[str], set[str]]:
    """The names below root that count as read and as moved."""
    with Watch(root, ()) as watch:
        act()
    return below(root, watch.read), below(root, watch.moved)


def below(root: Path, paths: set[str]) -> set[str]:
    return {path.removeprefix(f"{root}/") for path in paths if path.startswith(f"{root}/")}


@pytest.fixture(params=["fanotify", "hook alone"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file that was there before, as time goes by on this file system."""
    if request.param == "hook alone":
        monkeypatch.setattr(Fanotify, "start", lambda _: None)
    (tmp_path / "there.txt").write_text("from before")
    before = (tmp_path / "there.txt").stat().st_ctime_ns
    while (tmp_path / "clock").write_text("") or (tmp_path / "clock").stat().st_ctime_ns <= before:
        pass
    (tmp_path / "clock").unlink()
    return tmp_path


def test_what_was_there_and_is_only_added_to_is_read_when_it_is_read(root: Path) -> None:
    there = root / "there.txt"

    def add_and_read() -> None:
        with there.open("a") as file:
            file.write("more")
        there.read_text()

    assert seen(root, add_and_read) == ({"there.txt"}, set())


def test_adding_alone_reads_nothing(root: Path) -> None:
    def add() -> None:
        with (root / "there.txt").open("a") as file:
            file.write("more")

    assert seen(root, add) == (set(), set())


def test_what_this_process_empties_or_makes_may_be_read(root: Path) -> None:
    def make() -> None:
        (root / "there.txt").write_text("new")
        (root / "there.txt").read_text()
        with (root / "made.txt").open("a") as file:
            file.write("new")
        (root / "made.txt").rename(root / "other.txt")
        (root / "other.txt").read_text()

    assert seen(root, make) == (set(), set())


def test_what_was_there_and_is_renamed_counts_under_its_old_name(root: Path) -> None:
    def move() -> None:
        (root / "there.txt").rename(root / "new.txt")
        (root / "new.txt").read_text()

    assert seen(root, move) == (set(), {"there.txt"})


def test_a_rename_relative_to_an_open_folder_is_followed(root: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux tells the folder of a descriptor")

    def move() -> None:
        folder = os.open(root, os.O_RDONLY)
        os.rename("there.txt", "new.txt", src_dir_fd=folder, dst_dir_fd=folder)
        os.close(folder)

    assert seen(root, move) == (set(), {"there.txt"})


def test_a_hard_link_to_what_was_there_reads_it(root: Path) -> None:
    def link() -> None:
        (root / "linked.txt").hardlink_to(root / "there.txt")
        (root / "linked.txt").read_text()

    assert seen(root, link) == ({"there.txt"}, set())


def test_what_something_else_than_python_has_just_made_may_be_renamed(root: Path) -> None:
    """As safetensors and pyarrow do, whose files are then given their last name."""

    def make() -> None:
        subprocess.run([sys.executable, "-c", "open('native', 'w').write('x')"], cwd=root, check=True)
        (root / "native").rename(root / "named")

    assert seen(root, make) == (set(), set())


def test_files_of_a_renamed_folder_count_each_by_itself(root: Path) -> None:
    (root / "folder").mkdir()
    (root / "folder/file").write_text("x")

    def move() -> None:
        (root / "folder").rename(root / "moved")
        (root / "moved/file").read_text()

    read, moved = seen(root, move)
    assert "moved/file" in read
    assert not moved
