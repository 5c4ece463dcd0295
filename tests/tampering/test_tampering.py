"""Every kind of tampering is found or told, with the exit code, the file and both digests."""

import shutil
from collections.abc import Iterator

import pytest

from flows.lineage.verbs.verify import summary
from flows.lineage.verify import Checks, ExitCode, Verification, verify
from tests.conftest import Project
from tests.tampering.kinds import METRIC, Kind, every_kind
from tests.tampering.world import World

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(_ran: Project, tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("tampering") / "world"
    shutil.copytree(_ran.root, root, symlinks=True)
    world = World(root, _ran.root)
    world.remember()
    return world


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    yield shared
    shared.restore()


def lines(result: Verification) -> list[str]:
    return [str(line) for line in (*result.mismatches, *result.notes)]


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: kind.name)
def test_tampering_is_found_or_told(world: World, kind: Kind) -> None:
    before = world.digests(kind.file)
    kind.tamper(world)
    result = verify(world.root, kind.path, kind.checks)
    said = lines(result)
    assert result.exit_code == kind.code, said
    assert any(all(text in line for text in kind.told) for line in said) or not kind.told, said
    if kind.file:
        pairs = list(zip(before, world.digests(kind.file), strict=True))
        assert any(kind.file in line and was in line and now in line for line in said for was, now in pairs), said
    assert kind.outcome in ("", result.outcome)
    assert kind.summary in summary(result)


def test_there_are_a_hundred_kinds_and_each_has_a_name_of_its_own() -> None:
    names = [kind.name for kind in every_kind()]
    assert len(names) == len(set(names)) > 100


def test_the_world_is_put_back(world: World) -> None:
    assert verify(world.root).outcome == "proven"
    world.flip(METRIC)
    (world.root / "data/raw/more").write_text("1")
    world.restore()
    result = verify(world.root, checks=Checks(deep=True))
    assert (result.outcome, lines(result)) == ("proven", [])
    assert result.exit_code is ExitCode.CONSISTENT
