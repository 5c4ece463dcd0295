"""A Git repository without runs."""

from pathlib import Path

import pytest

from tests.flows.lineage.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    (tmp_path / ".dvc").mkdir()
    world.run("git", "init", "-q", "-b", "main")
    return world
