"""Every dvc.lock that Git holds, also where what Git prints beside it has characters at which Python would end a line."""

import pytest

from flows.lineage.blobs import objects_at
from flows.lineage.history import read_history
from flows.lineage.revisions import experiments
from tests.flows.lineage.world import World, lock_text, stage

ENDS = ["\u2028", "\u0085", "\f", "\x1d"]  # of a line for `str.splitlines`, and of none for Git


@pytest.mark.parametrize("end", ENDS, ids=ascii)
def test_the_name_of_an_author_ends_no_line(world: World, end: str) -> None:
    world.write(lock_text(train=stage("train")))
    world.run("git", "add", "dvc.lock")
    world.run("git", "commit", "-qm", "Run", GIT_AUTHOR_NAME=f"Ann{end}Bo")
    (found,) = read_history(world.root).snapshots
    assert found.author == f"Ann{end}Bo"


@pytest.mark.parametrize("end", ENDS, ids=ascii)
def test_the_name_of_a_file_ends_no_line(world: World, end: str) -> None:
    world.put("other.json", "{}")
    commit = world.commit(lock_text(train=stage("train")))
    places = [(commit, f"metrics/a{end}b.json"), (commit, "other.json")]
    assert list(objects_at(world.root, places)) == places[1:]


@pytest.mark.parametrize("end", ENDS[:2], ids=ascii)  # Git allows no control character there
def test_the_name_of_an_experiment_ends_no_line(world: World, end: str) -> None:
    world.commit(lock_text(train=stage("train")))
    whole = world.run("git", "rev-parse", "HEAD").stdout.strip()
    world.run("git", "update-ref", f"refs/exps/{whole[:2]}/{whole[2:]}/kind{end}crow", whole)
    assert experiments(world.root) == {whole: [f"kind{end}crow"]}
    assert read_history(world.root).snapshots[0].name == f"kind{end}crow"
