"""What differs between two recorded runs."""

import json
import shutil
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from flows.lineage.reading.diff import as_frame, as_text, diff, moved
from tasks.core.errors import GoodfitError
from tasks.statistics.comparisons import mean_difference, paired_interval
from tasks.statistics.intervals import newcombe
from tests.conftest import Project
from tests.flows.lineage.world import World, lock_text, stage, statement


def table(right: Sequence[int], losses: Sequence[float]) -> pd.DataFrame:
    return pd.DataFrame({"row": range(len(right)), "label": 1, "predicted": right, "loss": losses})


def test_metrics_on_the_same_images_are_compared_image_by_image() -> None:
    before, after = table([1, 1, 0, 0], [0.1, 0.2, 2.0, 3.0]), table([1, 0, 1, 1], [0.2, 1.0, 0.5, 0.6])
    accuracy, loss = moved(before, after.sample(frac=1, random_state=0), paired=True, confidence=0.95)
    expected = paired_interval(np.array([False, False, True, True]), np.array([False, True, False, False]), 0.95)
    assert (accuracy.before, accuracy.after, accuracy.low, accuracy.high) == (0.5, 0.75, *expected)
    change = mean_difference(np.array([0.1, 0.8, -1.5, -2.4]), 0.95)
    assert (loss.low, loss.high) == pytest.approx((change.low, change.high))


def test_metrics_on_other_images_are_compared_as_independent() -> None:
    random = np.random.default_rng(0)
    first, second = ([int(value) for value in random.random(n) < 0.8] for n in (200, 300))
    losses = list(random.exponential(size=500))
    accuracy, loss = moved(table(first, losses[:200]), table(second, losses[200:]), paired=False, confidence=0.95)
    assert (accuracy.low, accuracy.high) == newcombe(sum(first), 200, sum(second), 300, 0.95)
    from scipy.stats import ttest_ind

    welch = ttest_ind(losses[200:], losses[:200], equal_var=False).confidence_interval(0.95)
    assert (loss.low, loss.high) == pytest.approx((welch.low, welch.high))
    assert not accuracy.paired


@pytest.mark.slow
def test_a_run_is_compared_with_the_committed_one_and_with_a_branch(ran: Project) -> None:
    ran.run("git", "branch", "first")
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 5 ")
    ran.repro("evaluate")
    found = json.loads(ran.run("goodfit", "lineage", "diff", "--json").stdout)
    assert found["params"] == [{"name": "train.epochs", "before": 3, "after": 5}]
    assert (found["data"], found["code"], found["environment"]) == ([], [], [])
    frame = as_frame(diff(ran.root))
    assert list(frame["kind"]) == ["metric", "metric", "parameter"]
    assert list(frame[["name", "before", "after"]].iloc[2]) == ["train.epochs", 3, 5]
    assert frame.loc[0, "low"] == found["metrics"][0]["low"]
    assert found["outputs"][0] == "train"
    predictions = pd.read_parquet(ran.root / "results/predictions.parquet")
    accuracy, loss = found["metrics"]
    assert accuracy["after"] == (predictions["predicted"] == predictions["label"]).mean()
    assert loss["after"] == pytest.approx(predictions["loss"].mean())
    assert accuracy["paired"]

    printed = ran.run("goodfit", "lineage", "diff", "first").stdout
    assert "first → working tree" in printed
    assert "train.epochs: 3 → 5" in printed
    ran.run("git", "commit", "-aqm", "Five epochs")
    assert diff(ran.root, "first", "HEAD").params == diff(ran.root, "first").params
    assert diff(ran.root).outputs == []

    shutil.rmtree(ran.root / ".dvc/cache/files")
    assert "not in DVC's cache" in diff(ran.root, "first").unmeasured
    with pytest.raises(GoodfitError, match="there is no revision 'nowhere'; expected a commit, a branch or a tag"):
        diff(ran.root, "nowhere")


def test_packages_of_another_version_are_told_where_both_statements_are_there(world: World) -> None:
    def recorded(torch: str, python: str, **more: str) -> str:
        text = json.loads(statement("train", {}, {}))
        definition = text["predicate"]["buildDefinition"]
        definition["internalParameters"] = {"python": python}
        packages = {"torch": torch} | more
        definition["resolvedDependencies"] = [{"name": name, "uri": f"pkg:pypi/{name}@{it}"} for name, it in packages.items()]
        return lock_text(train=stage("train", outs={"lineage/train.json": world.cache(json.dumps(text))}))

    world.commit(recorded("2.14.0", "3.11.7"))
    world.commit(recorded("2.15.0", "3.11.7", numpy="2.0"))
    found = diff(world.root, "HEAD~", "HEAD")
    assert [vars(change) for change in found.environment] == [{"name": "torch", "before": "2.14.0", "after": "2.15.0"}]
    assert "environment: 1\n  torch: 2.14.0 → 2.15.0" in as_text(found)
    assert as_frame(found)[["kind", "name"]].to_numpy().tolist() == [["environment", "torch"]]
    shutil.rmtree(world.root / ".dvc/cache")
    assert diff(world.root, "HEAD~", "HEAD").environment == []


def test_a_training_that_moved_from_gpu_to_cpu_is_told_though_the_other_stages_stayed(world: World) -> None:
    on_gpu = {"device": "cuda", "precision": "bf16-mixed", "gpu": "NVIDIA H100", "cuda": "12.8"}
    on_cpu = {"device": "cpu", "precision": "32-true"}

    def recorded(of_train: dict[str, str], python: str) -> str:
        stages = {}
        for name, settings in (("train", of_train), ("evaluate", on_cpu)):
            text = json.loads(statement(name, {}, {}))
            text["predicate"]["buildDefinition"]["internalParameters"] = {"python": python} | settings
            stages[name] = stage(name, outs={f"lineage/{name}.json": world.cache(json.dumps(text))})
        return lock_text(**stages)

    world.commit(recorded(on_gpu, "3.11.7"))
    world.commit(recorded(on_cpu, "3.12.1"))
    found = diff(world.root, "HEAD~", "HEAD")
    assert [(change.name, change.before, change.after) for change in found.environment] == [
        ("cuda", "12.8", None),
        ("device (train)", "cuda", "cpu"),
        ("gpu", "NVIDIA H100", None),
        ("precision (train)", "bf16-mixed", "32-true"),
        ("python", "3.11.7", "3.12.1"),
    ]
    assert "  device (train): cuda → cpu" in as_text(found)
    assert "  gpu: NVIDIA H100 → not there" in as_text(found)


def test_damaged_predictions_are_not_compared(world: World) -> None:
    def recorded(content: bytes) -> str:
        outs = {"results/predictions.parquet": world.store(content)}
        return lock_text(evaluate=stage("evaluate", outs=outs))

    first = world.commit(recorded(b"no table"))
    with pytest.raises(GoodfitError, match="holds no predictions as the stage evaluate writes them"):
        diff(world.root, first)
    file = next((world.root / ".dvc/cache/files/md5").glob("*/*"))
    file.write_bytes(b"damaged")
    with pytest.raises(GoodfitError, match=r"DVC's cache has a damaged copy of results/predictions\.parquet"):
        diff(world.root, first)
