"""`diagnose` from files to verdict; what each check says is tested in tests/tasks/diagnostics."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tasks.contracts.findings import DIAGNOSIS, read_diagnosis
from tasks.contracts.splits import Split, SplitName, write_split
from tasks.core.errors import ArtifactError
from tasks.diagnose import diagnose
from tests.tasks.diagnostics.project import split, write_project

N = 120  # rows of a split: levels of brightness keep them all different


def bars(first_row: int, first_level: int) -> Split:
    """Rows that the model names rightly, of all three classes, but for every tenth."""
    labels = [position % 3 for position in range(N)]
    shown = [(label + 1) % 3 if position % 10 == 9 else label for position, label in enumerate(labels)]
    return split(shown, labels, first_row, first_level)


def even(count: int, rows: int) -> Tensor:
    """Epochs (E, V, 3) that all say the same."""
    return torch.zeros(count, rows, 3)


@pytest.fixture
def splits() -> dict[SplitName, Split]:
    train = bars(0, 10)
    val = Split(train.images + 1, train.labels, train.rows + N)
    val.images[:, :, :, 0] ^= 128  # another pattern: no image of train
    return {"train": train, "val": val, "test": Split(train.images.flip(3) ^ 64, train.labels, train.rows + 2 * N)}


def test_writes_a_diagnosis_and_prints_its_headline_and_a_line_a_finding(
    tmp_path: Path, splits: dict[SplitName, Split], capsys: pytest.CaptureFixture[str]
) -> None:
    diagnose(write_project(tmp_path, splits, even(4, N)))
    diagnosis = read_diagnosis(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{diagnosis.verdict}: {diagnosis.headline}"
    assert [line.split()[:2] for line in lines[1:]] == [[found.status, found.code] for found in diagnosis.findings]
    assert [found.code for found in diagnosis.findings] == ["integrity", "performance", "gap", "overtrained", "overconfident"]


def test_a_last_epoch_that_unlearned_is_overtrained(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    good = 3.0 * torch.nn.functional.one_hot(splits["val"].labels, 3)
    last = torch.where(torch.arange(N)[:, None] % 3 == 0, good.roll(1, dims=1), good)
    splits["test"] = bars(500, 130)
    diagnose(write_project(tmp_path, splits, torch.stack([good, good, last])))
    diagnosis = read_diagnosis(tmp_path)
    assert diagnosis.verdict == "overtrained"
    assert "Epoch 3" in diagnosis.headline
    assert "against epoch 1" in diagnosis.headline


def test_a_test_image_copied_into_train_is_leakage_and_its_row_is_named(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    splits["test"] = bars(500, 130)
    splits["train"].images[7] = splits["test"].images[31]
    diagnose(write_project(tmp_path, splits, even(4, N)))
    diagnosis = read_diagnosis(tmp_path)
    assert diagnosis.verdict == "leakage"
    assert diagnosis.findings[0].evidence["leaked_test_rows"] == [531]
    assert diagnosis.findings[0].evidence["row_numbers"] == "lines of the test"


def test_gap_and_performance_are_of_the_delivered_weights(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    splits["test"] = bars(500, 130)
    diagnose(write_project(tmp_path, splits, even(4, N)))
    _, performance, gap, *_ = read_diagnosis(tmp_path).findings
    assert performance.estimate == pytest.approx(0.9)
    assert performance.evidence["log_loss"] == gap.evidence["test_log_loss"]
    assert "log_loss_ci" not in performance.evidence  # its interval is that of evaluate: one number, one interval
    assert gap.evidence["train_accuracy"] == pytest.approx(0.9)
    assert gap.evidence["accuracy_gap"] == pytest.approx(0)


def test_without_validation_rows_the_verdict_is_inconclusive_and_says_why(
    tmp_path: Path, splits: dict[SplitName, Split]
) -> None:
    splits["test"], splits["val"] = bars(500, 130), split([], [], 0)
    diagnose(write_project(tmp_path, splits, even(4, 0)))
    diagnosis = read_diagnosis(tmp_path)
    assert (diagnosis.verdict, diagnosis.flags) == ("inconclusive", [])
    assert diagnosis.headline == "No validation set: preprocess.val_fraction is 0."
    assert [found.status for found in diagnosis.findings[3:]] == ["not_run", "not_run"]


def test_writes_the_same_bytes_twice(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    write_project(tmp_path, splits, torch.randn(5, N, 3, generator=torch.Generator().manual_seed(0)))
    diagnose(tmp_path)
    first = (tmp_path / DIAGNOSIS).read_bytes()
    diagnose(tmp_path)
    assert (tmp_path / DIAGNOSIS).read_bytes() == first


def test_refuses_recordings_of_another_split(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    write_project(tmp_path, splits, even(4, N))
    write_split(tmp_path, "val", split([0, 1], [0, 1], 0))
    with pytest.raises(ArtifactError, match="do not belong together"):
        diagnose(tmp_path)
