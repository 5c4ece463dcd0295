"""The tables that are watched while training runs."""

import json
import sys
import time
from pathlib import Path

import pytest

from tasks.contracts.trained import Epoch
from tasks.learning.live import Live
from tests.conftest import Project


def epochs(count: int, val: float | None = 0.5) -> list[Epoch]:
    return [Epoch(number, number * 10, 0.1, 1.0, 1 / number, 0.25, val, val) for number in range(1, count + 1)]


def test_each_metric_has_a_table_and_a_resumed_run_repeats_no_row(tmp_path: Path) -> None:
    Live(tmp_path).show(epochs(2))
    Live(tmp_path).show(epochs(3))

    table = tmp_path / "dvclive/plots/metrics/train/loss.tsv"
    assert table.read_text() == f"step\tloss\n1\t1.0\n2\t0.5\n3\t{1 / 3!r}\n"
    latest = json.loads((tmp_path / "dvclive/metrics.json").read_text())
    assert latest == {"step": 3, "train": {"loss": 1 / 3, "accuracy": 0.25}, "val": {"loss": 0.5, "accuracy": 0.5}}


def test_without_a_validation_split_there_is_no_table_of_it(tmp_path: Path) -> None:
    Live(tmp_path).show(epochs(1, val=None))

    assert not (tmp_path / "dvclive/plots/metrics/val").exists()


def test_a_write_error_does_not_end_the_training(tmp_path: Path) -> None:
    (tmp_path / "dvclive").write_text("a file where the folder should be")

    Live(tmp_path).show(epochs(1))

    assert (tmp_path / "dvclive").is_file()


def test_the_tables_are_removed(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.show(epochs(1))
    live.remove()

    assert not (tmp_path / "dvclive").exists()


@pytest.mark.slow
def test_dvc_shows_the_curves_while_the_stage_runs(fresh: Project) -> None:
    fresh.repro("preprocess")
    fresh.edit("params.yaml", "epochs: 3 ", "epochs: 100000 ")
    table = fresh.root / "dvclive/plots/metrics/val/loss.tsv"
    stage = fresh.start(sys.executable, "-m", "flows.stage", "train")
    try:
        seen = [rows_of(table, more_than=2)]
        seen.append(rows_of(table, more_than=seen[0]))
        shown = json.loads(fresh.run("dvc", "plots", "show", "--json", "dvclive/plots/metrics").stdout)
        assert stage.poll() is None, stage.communicate()
    finally:
        stage.kill()
        stage.communicate()
    assert seen[1] > seen[0]
    assert any("val/loss.tsv" in name for name in json.dumps(shown).split('"'))
    assert not fresh.run("git", "status", "--porcelain", "dvclive").stdout


def rows_of(table: Path, more_than: int) -> int:
    """How many rows the table has, as soon as it has more than so many."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        rows = len(table.read_text().splitlines()) if table.exists() else 0
        if rows > more_than:
            return rows
        time.sleep(0.1)
    raise AssertionError(f"{table} does not grow")
