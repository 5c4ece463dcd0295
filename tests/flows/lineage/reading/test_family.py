"""The trainings on the same validation images: from dvc.lock texts in a Git repository, and from real runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.history import WORKING_TREE
from flows.lineage.reading.family import UNRECORDED, Family, find_family
from tasks.core.errors import GoodfitError
from tests.conftest import Project
from tests.flows.lineage.world import World

VAL, TEST, OWN = "data/processed/val.safetensors", "data/processed/test.safetensors", "lineage/train.json"


def names(world: World) -> list[str]:
    return list(find_family(world.root).trainings["training"])


def lock(epochs: int = 10, val: str = "6" * 32, history: str = "", code: str = "c" * 32, predictions: str = "4" * 32) -> str:
    """A dvc.lock with a training of so many epochs, whose history differs from any of other epochs, and its evaluation."""

    def files(**paths: str) -> list[dict[str, str]]:
        return [{"path": path, "md5": md5} for path, md5 in paths.items()]

    train = {
        "cmd": "python -m flows.stage train",
        "deps": files(**{VAL: val, "tasks/train.py": code}),
        "params": {"params.yaml": {"seed": 0, "train": {"epochs": epochs}}},
        "outs": files(**{OWN: f"{epochs}{code}"[:32], "results/history.csv": history or f"{epochs:032x}"}),
    }
    evaluate = {
        "cmd": "python -m flows.stage evaluate",
        "deps": files(**{TEST: "9" * 32}),
        "outs": files(**{"results/predictions.parquet": predictions}),
    }
    return json.dumps({"schema": "2.0", "stages": {"train": train, "evaluate": evaluate}})


def history(*accuracies: str) -> str:
    return "epoch,val_accuracy\n" + "".join(f"{epoch},{value}\n" for epoch, value in enumerate(accuracies, 1))


def counted(family: Family) -> tuple[int, bool]:
    return family.validation_evaluations, family.exact


def test_counts_every_training_on_these_images_wherever_git_has_it(world: World) -> None:
    first = world.commit(lock(1))
    world.run("git", "checkout", "-qb", "side")
    side = world.commit(lock(20))
    world.run("git", "checkout", "-q", "main")
    other_images = world.commit(lock(300, val="8" * 32))
    third = world.commit(lock(4000, predictions="7" * 32))
    world.run("git", "merge", "-q", "-s", "ours", "-m", "Keep ours", "side")
    world.run("git", "branch", "-qD", "side")  # only the merge leads to it, and has the other dvc.lock
    world.run("git", "checkout", "-qb", "tagged")
    tagged = world.commit(lock(50_000))
    world.run("git", "tag", "kept")
    world.run("git", "checkout", "-q", "main")
    world.run("git", "branch", "-qD", "tagged")
    family = find_family(world.root)
    assert set(family.trainings["training"]) == {first, side, third, tagged}
    assert other_images not in names(world)
    assert counted(family) == (54_021, False)
    assert family.trainings["best_val_accuracy"].isna().all()
    assert (family.elsewhere, family.test_evaluations, family.current_epochs) == (1, 2, 4000)


def test_epochs_are_the_rows_of_a_cached_history_and_else_those_stated(world: World) -> None:
    stopped = world.cache(history("0.5", "0.75", "0.625", ""))  # an epoch without validation is no evaluation
    world.commit(lock(100, history=stopped))
    assert counted(find_family(world.root)) == (3, True)
    assert list(find_family(world.root).trainings["best_val_accuracy"]) == [0.75]
    world.commit(lock(20))
    family = find_family(world.root)
    assert counted(family) == (23, False)
    assert list(family.trainings["exact"]) == [True, False]


def test_the_same_answers_after_an_edit_of_the_code_are_listed_and_counted_once(world: World) -> None:
    first = world.commit(lock(10))
    second = world.commit(lock(10, code="d" * 32))
    world.commit(lock(10))  # the first again: no row of its own
    family = find_family(world.root)
    assert list(family.trainings["training"]) == [first, second]
    assert list(family.trainings["repeats"]) == ["", first]
    assert family.validation_evaluations == 10


def test_an_experiment_has_its_name_and_the_working_tree_counts(world: World) -> None:
    first = world.commit(lock(1))
    world.commit(lock(2))
    world.run("git", "update-ref", f"refs/exps/ab/{'c' * 38}/slow-owl", "HEAD")
    world.run("git", "reset", "-q", "--hard", "HEAD~")
    world.write(lock(4))
    family = find_family(world.root)
    assert list(family.trainings["training"]) == [first, "slow-owl", WORKING_TREE]
    assert (family.validation_evaluations, family.current_epochs) == (7, 4)


def test_runs_that_only_the_journal_saw_count_where_the_cache_has_their_statement(world: World) -> None:
    def files(**paths: str) -> list[dict[str, Any]]:
        return [{"name": path, "digest": {"sha256": "", "md5": md5}} for path, md5 in paths.items()]

    def statement(val: str) -> str:
        external = {"stage": "train", "command": "", "parameters": {"train": {"epochs": 9}}}
        definition = {"externalParameters": external, "internalParameters": {}, "resolvedDependencies": files(**{VAL: val})}
        kinds = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1"}
        written = files(**{"results/history.csv": val})
        return world.cache(json.dumps({**kinds, "subject": written, "predicate": {"buildDefinition": definition}}))

    recorded = world.commit(lock(1))
    seen, elsewhere = statement("6" * 32), statement("8" * 32)
    world.journal(
        {"started": "2026-01-01T00:00:00", "outcome": "ran", "statement_md5": f"1{'c' * 31}"},
        {"started": "2026-01-02T00:00:00", "outcome": "ran", "statement_md5": seen},
        {"started": "2026-01-03T00:00:00", "outcome": "restored", "statement_md5": seen},
        {"started": "2026-01-04T00:00:00", "outcome": "ran", "statement_md5": elsewhere},
        {"started": "2026-01-05T00:00:00", "outcome": "ran", "statement_md5": "5" * 32},
        {"started": "2026-01-06T00:00:00", "outcome": "failed", "statement_md5": None},
    )
    family = find_family(world.root)
    assert list(family.trainings["training"]) == [recorded, UNRECORDED]
    assert list(family.trainings["date"])[1] == "2026-01-02T00:00:00"
    assert counted(family) == (10, False)
    assert (family.lost, family.failed, family.elsewhere) == (["2026-01-05T00:00:00"], 1, 1)


def test_a_project_below_the_top_and_a_lock_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "below/.dvc").mkdir(parents=True)
    world = World(tmp_path / "below")
    world.run("git", "init", "-q", "..")
    torn = world.commit(lock(1)[:-20])
    world.run("git", "rm", "-q", "dvc.lock")
    world.run("git", "commit", "-qm", "Without")
    good = world.commit(lock(2))
    family = find_family(world.root)
    assert family.unreadable == [torn]
    assert list(family.trainings["training"]) == [good]


def test_says_what_is_missing_where_nothing_can_be_counted(world: World) -> None:
    with pytest.raises(GoodfitError, match="records no training"):
        find_family(world.root)
    world.write(lock())
    (world.root / ".git").rename(world.root / "git")
    with pytest.raises(GoodfitError, match="is not in a Git repository"):
        find_family(world.root)


@pytest.mark.slow
def test_real_runs_are_counted_and_the_option_that_is_printed_suffices(ran: Project) -> None:
    diagnose = ("python", "-m", "flows.cli", "diagnose", "--evaluations")
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 5 ")
    ran.repro("evaluate")
    ran.run("git", "commit", "-qam", "Train for longer")
    ran.run("dvc", "exp", "run", "-n", "longest", "-S", "train.epochs=6", "evaluate")
    ran.run("git", "checkout", "-q", "params.yaml", "dvc.lock", "metrics")
    ran.edit("params.yaml", "epochs: 5 ", "epochs: 7 ")
    ran.repro("train")
    ran.run("git", "checkout", "-q", "params.yaml", "dvc.lock", "metrics")

    found = json.loads(ran.run(*diagnose, "--json").stdout)
    rows = {row["training"]: row for row in found["trainings"]}
    assert [row["epochs"] for row in found["trainings"]] == [3, 5, 6, 7]
    assert (rows["longest"]["epochs"], rows[UNRECORDED]["epochs"]) == (6, 7)
    assert all(row["exact"] and 0 < row["best_val_accuracy"] <= 1 and not row["repeats"] for row in rows.values())
    assert (found["validation_evaluations"], found["exact"], found["test_evaluations"]) == (21, True, 3)

    said = ran.run(*diagnose).stdout
    assert "Validation images: 21 evaluations" in said
    assert "Not recorded in any commit or experiment: 1 training" in said
    stated = said.rpartition("\n\n")[2].strip()
    assert stated == found["params"]
    (line,) = (line for line in ran.text("params.yaml").splitlines() if line.startswith("  checks: "))
    ran.edit("params.yaml", line, stated.splitlines()[1])
    assert "The check selection counts 21 evaluations: there is nothing to set." in ran.run(*diagnose).stdout


def test_a_training_of_which_nothing_says_its_epochs_is_not_counted_and_said(world: World) -> None:
    without = json.loads(lock(20))
    del without["stages"]["train"]["params"]["params.yaml"]["train"]
    world.commit(json.dumps(without))
    world.commit(lock(5))
    family = find_family(world.root)
    assert (counted(family), family.uncounted) == ((5, False), 1)
    world.commit(json.dumps(without))
    with pytest.raises(GoodfitError, match="so that its epochs cannot be counted"):
        find_family(world.root)
