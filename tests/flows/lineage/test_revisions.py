"""From what `--rev` is given to a commit: the same for every verb."""

import re

import pytest

from flows.lineage.revisions import commit_named, commit_of, experiments, recorded_commit, unique_names
from tasks.core.errors import GoodfitError
from tests.flows.lineage.world import World

LOCK = "schema: '2.0'\nstages: {}\n"
# Each verb that takes a revision, with its exit code where it could not do its work.
VERBS = [
    (("verify", "--rev", "HEAD"), 4),
    (("show", "model", "--rev", "HEAD"), 1),
    (("rows", "--rev", "HEAD"), 2),
    (("diff", "HEAD"), 1),
    (("export", "--format", "prov", "--rev", "HEAD"), 1),
    (("reproduce", "HEAD"), 4),
    (("bundle", "HEAD", "-o", "made"), 1),
]


def test_branches_tags_commits_and_experiments_are_revisions(world: World) -> None:
    short = world.commit(LOCK)
    whole = world.run("git", "rev-parse", "HEAD").stdout.strip()
    world.run("git", "tag", "-a", "v1", "-m", "One")
    world.run("git", "update-ref", f"refs/exps/{whole[:2]}/{whole[2:]}/kind-crow", whole)
    assert {commit_of(world.root, name) for name in (short, whole, "main", "v1", "HEAD", "kind-crow")} == {whole}
    assert recorded_commit(world.root, "v1") == whole


def name_experiment(world: World, name: str, commit: str, baseline: str = "ab") -> None:
    world.run("git", "update-ref", f"refs/exps/{baseline}/{'c' * 38}/{name}", commit)


def two_commits(world: World) -> tuple[str, str]:
    world.commit(LOCK)
    first = world.run("git", "rev-parse", "HEAD").stdout.strip()
    world.commit(LOCK + "\n")
    return first, world.run("git", "rev-parse", "HEAD").stdout.strip()


def test_an_experiment_does_not_stand_for_what_git_knows_by_its_name(world: World) -> None:
    first, second = two_commits(world)
    world.run("git", "tag", "v1", first)
    names = ("v1", first[:7], first, "HEAD~")
    for name in names[:3]:
        name_experiment(world, name, second)
    assert {commit_of(world.root, name) for name in names} == {first}


def test_a_name_of_two_experiments_is_refused_and_both_are_named(world: World) -> None:
    first, second = two_commits(world)
    name_experiment(world, "kind-crow", first, "ab")
    name_experiment(world, "kind-crow", second, "cd")
    said = f"'kind-crow' is the name of 2 experiments; expected one of their commits: {first[:12]} and {second[:12]}"
    with pytest.raises(GoodfitError, match=said):
        commit_of(world.root, "kind-crow")
    assert unique_names(experiments(world.root)) == {}
    name_experiment(world, "kind-crow", first, "cd")
    assert commit_of(world.root, "kind-crow") == first  # of two baselines, and the same
    assert unique_names(experiments(world.root)) == {first: "kind-crow"}


def test_each_name_of_a_commit_is_a_revision(world: World) -> None:
    first, second = two_commits(world)
    for name in ("kind-crow", "slow-owl", "shared"):
        name_experiment(world, name, first)
    name_experiment(world, "shared", second, "cd")
    assert experiments(world.root)[first] == ["kind-crow", "shared", "slow-owl"]
    assert {commit_of(world.root, name) for name in ("kind-crow", "slow-owl")} == {first}
    assert unique_names(experiments(world.root)) == {first: "kind-crow"}


def test_an_unknown_revision_is_told_with_the_experiments_that_there_are(world: World) -> None:
    world.commit(LOCK)
    for name in ("--all", "^HEAD", "HEAD..HEAD", "HEAD:dvc.lock"):
        said = rf"there is no revision '{re.escape(name)}'; expected a commit.* \(DVC has no experiment here\)"
        with pytest.raises(GoodfitError, match=said):
            commit_of(world.root, name)
    whole = world.run("git", "rev-parse", "HEAD").stdout.strip()
    world.run("git", "update-ref", f"refs/exps/{whole[:2]}/{whole[2:]}/kind-crow", whole)
    with pytest.raises(GoodfitError, match=r"or an experiment \(kind-crow\)"):
        commit_of(world.root, "kind-cow")


def test_a_commit_without_a_lock_records_nothing(world: World) -> None:
    world.put("dvc.lock/file", "a folder of that name")
    world.run("git", "commit", "-qm", "Folder")
    with pytest.raises(GoodfitError, match=r"dvc\.lock is not in HEAD: nothing was recorded there"):
        recorded_commit(world.root, "HEAD")


def test_before_the_first_commit_head_is_no_commit(world: World) -> None:
    assert commit_named(world.root, "HEAD") is None


@pytest.mark.parametrize(("arguments", "code"), VERBS, ids=[" ".join(arguments) for arguments, _ in VERBS])
def test_each_verb_says_that_there_is_no_git_repository(world: World, arguments: tuple[str, ...], code: int) -> None:
    (world.root / ".git").rename(world.root / "elsewhere")
    world.write(LOCK)
    (world.root / "dvc.yaml").write_text("stages: {}\n")
    (world.root / "params.yaml").write_text("seed: 1\n")
    done = world.goodfit("lineage", *arguments, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert f"error: {world.root} is not in a Git repository" in done.stderr
