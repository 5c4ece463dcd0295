"""What the gate lets DVC bring back: nothing that the stage's statement does not name."""

import json
import shutil
from pathlib import Path

import pytest

from flows.lineage.verify import verify
from tasks.core.settings import load_yaml
from tests.conftest import GATE, Project
from tests.tampering.kinds import RAW
from tests.tampering.world import World, rename_run_entry

pytestmark = pytest.mark.slow


@pytest.fixture
def world(_ran: Project, tmp_path: Path) -> World:
    """A repository that ran, and in which the outputs of `download` are gone."""
    world = World(Path(shutil.copytree(_ran.root, tmp_path / "world", symlinks=True)), _ran.root)
    world.remove("data/raw", "lineage/download.json")
    return world


def refused(world: World) -> str:
    done = world.run("python", "-c", GATE, "download", check=False)
    assert done.returncode == 1, done.stdout
    assert "DVC's cache restored bytes that the stage never wrote" in done.stderr
    assert "nothing was recorded: run it again" in done.stderr
    return done.stderr


def test_what_the_cache_holds_is_brought_back(world: World) -> None:
    assert world.gate("download") == {"download": "restored"}
    assert verify(world.root).outcome == "proven"


def test_a_damaged_object_is_not_brought_back_and_the_next_run_makes_it_anew(world: World) -> None:
    locked = load_yaml(world.root / "dvc.lock")["stages"]["download"]
    listing = world.root / world.object("data/raw")
    (entry,) = json.loads(listing.read_bytes())
    world.flip(f".dvc/cache/files/md5/{entry['md5'][:2]}/{entry['md5'][2:]}")
    assert RAW in refused(world)
    assert not (world.root / "data/raw").exists()
    assert world.gate("download") == {"download": "ran"}
    assert load_yaml(world.root / "dvc.lock")["stages"]["download"] == locked
    assert verify(world.root).outcome == "proven"


def test_a_forged_entry_of_the_run_cache_is_not_brought_back_and_is_forgotten(world: World) -> None:
    """The entry says that `data/raw` was another folder, which the cache has."""
    other = json.dumps([{"md5": world.object("models/model.json").replace("/", "")[-32:], "relpath": "digits.csv.gz"}]).encode()
    md5 = world.keep(other)
    forged = rename_run_entry(world, "download", lambda entry: entry["outs"][0].update(md5=f"{md5}.dir"))
    world.lock(lambda document: document["stages"].pop("download"))
    assert "data/raw" in refused(world)
    assert not (world.root / forged).exists()
    assert world.gate("download") == {"download": "ran"}
    assert verify(world.root).outcome == "consistent"
