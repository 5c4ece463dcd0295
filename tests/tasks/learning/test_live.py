"""The tables that are watched while training runs."""

import json
from pathlib import Path

from tasks.contracts.trained import Epoch
from tasks.learning.live import Live


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
