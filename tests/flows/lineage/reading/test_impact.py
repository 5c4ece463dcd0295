"""What depends on a file or a row, through the chain of stages."""

import json
from typing import Any

import pytest

from flows.lineage.reading.find import Wanted, digests_of
from flows.lineage.reading.impact import Impact, impact, impact_of_row
from flows.lineage.reading.rows import FILES
from tests.conftest import Project
from tests.flows.lineage.reading.test_rows import NUMBERS, recorded
from tests.flows.lineage.world import World, lock_text, stage

A, B = "a" * 32, "b" * 32


def chain(data: str, part: str, model: str, score: str, read: str | None = None) -> dict[str, dict[str, Any]]:
    """Three stages in a row, in the order of dvc.lock; `read` is what the second one read, where not `part`."""
    return {
        "split": stage("split", {"data.csv": data}, {"part": part}),
        "fit": stage("fit", {"part": read or part, "fit.py": "f" * 32}, {"model": model}),
        "score": stage("score", {"model": model}, {"metrics/score.json": score}),
    }


def found(result: Impact) -> dict[str, list[str]]:
    return {one.run.revision: one.stages for one in result.results}


def test_every_stage_behind_the_file_is_named_in_each_run(world: World) -> None:
    first = world.commit(lock_text(**chain(A, "1" * 32, "2" * 32, "3" * 32)))
    world.commit(lock_text(**chain(B, "4" * 32, "5" * 32, "6" * 32)))
    world.run("git", "update-ref", f"refs/exps/ab/{'c' * 38}/slow-owl", "HEAD")
    world.run("git", "reset", "-q", "--hard", "HEAD~")
    assert found(impact(world.root, Wanted(A))) == {first: ["split", "fit", "score"]}
    assert found(impact(world.root, Wanted("f" * 32))) == {"slow-owl": ["fit", "score"], first: ["fit", "score"]}
    assert found(impact(world.root, Wanted("2" * 32))) == {first: ["fit", "score"]}  # what it wrote, and what reads that
    assert found(impact(world.root, Wanted("9" * 32))) == {}
    assert impact(world.root, Wanted(B), "data.csv").other_bytes == 1


def test_the_same_output_made_from_other_data_does_not_depend_on_the_file(world: World) -> None:
    first = world.commit(lock_text(**chain(A, "1" * 32, "2" * 32, "3" * 32)))
    world.commit(lock_text(**chain(B, "1" * 32, "2" * 32, "3" * 32)))
    assert found(impact(world.root, Wanted(A))) == {first: ["split", "fit", "score"]}


def test_an_input_that_was_written_anew_since_still_depends_on_what_it_was_made_from(world: World) -> None:
    first = world.commit(lock_text(**chain(A, "1" * 32, "2" * 32, "3" * 32)))
    second = world.commit(lock_text(**chain(B, "4" * 32, "2" * 32, "3" * 32, read="1" * 32)))  # split ran alone
    assert found(impact(world.root, Wanted(A))) == {second: ["fit", "score"], first: ["split", "fit", "score"]}
    assert found(impact(world.root, Wanted(B))) == {second: ["split"]}


def test_a_file_in_a_folder_and_stages_in_any_order(world: World) -> None:
    folder = world.folder(**{"1.png": A, "2.png": B})
    later_first = {
        "report": stage("report", {"models/m": "2" * 32}, {"report.html": "3" * 32}),
        "train": stage("train", {"data/raw/1.png": A}, {"models": f"{'1' * 32}.dir"}),
        "download": stage("download", {}, {"data/raw": folder}),
    }
    commit = world.commit(lock_text(**later_first))
    assert found(impact(world.root, Wanted(A))) == {commit: ["download", "train", "report"]}


def world_with_rows(world: World, numbers: dict[str, list[int]], raw: str) -> dict[str, dict[str, Any]]:
    entries = recorded(world, numbers)
    entries["preprocess"] = stage(
        "preprocess", {"data/raw": raw}, {out["path"]: out["md5"] for out in entries["preprocess"]["outs"]}
    )
    splits = {out["path"]: out["md5"] for out in entries["preprocess"]["outs"]}
    entries["train"]["outs"] = [{"path": "models/m", "md5": splits[FILES["train"]][::-1]}]
    measured = {"models/m": splits[FILES["train"]][::-1], FILES["test"]: splits[FILES["test"]]}
    return {"download": stage("download", {}, {"data/raw": raw})} | entries | {"evaluate": stage("evaluate", measured)}


def test_a_row_counts_in_the_splits_that_have_it_and_in_this_source_alone(world: World) -> None:
    raw, other = world.folder(**{"1.png": A}), world.folder(**{"1.png": B})
    moved = {"train": [0, 4, 5], "val": [1], "test": [2, 3]}
    first = world.commit(lock_text(**world_with_rows(world, NUMBERS, raw)))
    world.commit(lock_text(**world_with_rows(world, {"train": [3, 9], "val": [], "test": [8]}, other)))
    third = world.commit(lock_text(**world_with_rows(world, moved, raw)))
    assert found(impact_of_row(world.root, 2)) == {third: ["preprocess", "evaluate"], first: ["preprocess", "evaluate"]}
    assert found(impact_of_row(world.root, 3)) == {
        third: ["preprocess", "evaluate"],
        first: ["preprocess", "train", "evaluate"],
    }
    assert found(impact_of_row(world.root, 77)) == {}
    file = world.root / "copy.png"
    file.write_text("x")
    assert found(impact_of_row(world.root, 3, digests_of(file))) == {}
    assert found(impact_of_row(world.root, 3, Wanted(B))).keys().isdisjoint({first, third})
    assert impact_of_row(world.root, 3).other_bytes == 1


def test_a_stage_that_read_the_rows_of_another_source_does_not_depend_on_this_one(world: World) -> None:
    raw, other = world.folder(**{"1.png": A}), world.folder(**{"1.png": B})
    before = world_with_rows(world, {"train": [0], "val": [], "test": [3]}, other)
    world.commit(lock_text(**before))
    after = world_with_rows(world, NUMBERS, raw) | {"evaluate": before["evaluate"]}  # it has not run since
    commit = world.commit(lock_text(**after))
    assert found(impact_of_row(world.root, 3)) == {commit: ["preprocess", "train"]}


def test_the_exit_code_answers_and_says_what_other_bytes_there_were(world: World) -> None:
    (world.root / "data.csv").write_text("now")
    world.commit(lock_text(**chain(A, "1" * 32, "2" * 32, "3" * 32)))
    nothing = world.goodfit("lineage", "impact", "data.csv", check=False)
    assert (nothing.returncode, nothing.stdout) == (1, "none of 1 recorded runs depends on data.csv\n")
    assert "1 runs had other bytes there" in nothing.stderr
    done = world.goodfit("lineage", "impact", "--digest", A)
    assert done.stdout.startswith(f"1 of 1 recorded runs depend on {A}\n")
    assert done.stdout.splitlines()[2].endswith("split, fit, score")
    for wrong in ([], ["nowhere"], ["--digest", "xyz"], ["--row", "3"], ["nowhere:3"]):
        assert world.goodfit("lineage", "impact", *wrong, check=False).returncode == 2


@pytest.mark.slow
def test_real_results_depend_on_code_data_and_rows(ran: Project) -> None:
    def results(*options: str) -> list[Any]:
        done = ran.run("python", "-m", "flows.cli", "lineage", "impact", *options, "--json", check=False)
        answer: list[Any] = json.loads(done.stdout)["results"]
        return answer

    accuracy = json.loads(ran.text("metrics/evaluation.json"))["accuracy"]
    (code,) = results("tasks/train.py")
    assert code["stages"][0] == "train"
    assert {"preprocess", "download"}.isdisjoint(code["stages"])
    assert code["metrics"]["evaluation.accuracy"] == accuracy
    (raw,) = results("data/raw")
    assert raw["stages"][:3] == ["download", "preprocess", "train"]
    inside = next(file for file in sorted((ran.root / "data/raw").rglob("*")) if file.is_file())
    assert results(str(inside.relative_to(ran.root)))[0]["stages"] == raw["stages"]
    (report,) = results("tasks/report.py")
    assert report["stages"] == ["report", "gates"]
    assert "evaluation.accuracy" not in report["metrics"]
    numbers = json.loads(ran.run("python", "-m", "flows.cli", "lineage", "rows", "--json").stdout)["splits"]
    trained, tested = results("data/raw:" + str(numbers["train"][0])), results("--row", str(numbers["test"][0]))
    assert "train" in trained[0]["stages"]
    assert "train" not in tested[0]["stages"]
    assert "evaluate" in tested[0]["stages"]
