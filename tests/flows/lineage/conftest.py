"""A Git repository without runs, and one with a pipeline of quick commands."""

from pathlib import Path

import pytest

from tests.conftest import Project, built_once
from tests.flows.lineage.small import Small, build, copy
from tests.flows.lineage.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    (tmp_path / ".dvc").mkdir()
    world.run("git", "init", "-q", "-b", "main")
    return world


@pytest.fixture(scope="session")
def _small(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built_once(tmp_path_factory, "small", build)


@pytest.fixture
def small(_small: Project, tmp_path: Path) -> Small:
    """Three quick stages after `dvc repro`, everything committed."""
    return copy(_small.root, tmp_path / "small")
