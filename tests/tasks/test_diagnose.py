"""`diagnose` from files to verdict; what each check says is tested in tests/tasks/diagnostics."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tasks.contracts.calibration import read_temperature
from tasks.contracts.findings import DIAGNOSIS, read_diagnosis
from tasks.contracts.splits import Split, SplitName, write_rows, write_split
from tasks.core.errors import ArtifactError, ParamsError
from tasks.core.settings import validate
from tasks.diagnose import Params, diagnose
from tasks.diagnostics.catalogue import CHECKS
from tests.tasks.diagnostics.project import split, write_project

N = 120  # images of a split: levels of brightness keep them all different
PARAMS = Params(seed=0, threads=1)
# The bars are drawn by hand: checks that compare how the pictures of the splits look would have a lot to say about them.
CORE = ["integrity", "performance", "gap", "overtrained", "overconfident"]


def params(**diagnose: object) -> Params:
    return validate(Params, {"seed": 0, "threads": 1, "diagnose": diagnose})


def bars(first_row: int, first_level: int) -> Split:
    """Images of all three classes that the model classifies correctly, except for every tenth."""
    labels = [position % 3 for position in range(N)]
    shown = [(label + 1) % 3 if position % 10 == 9 else label for position, label in enumerate(labels)]
    return split(shown, labels, first_row, first_level)


def even(count: int, rows: int) -> Tensor:
    """Epochs (E, V, 3) with identical predictions."""
    return torch.zeros(count, rows, 3)


@pytest.fixture
def splits() -> dict[SplitName, Split]:
    train = bars(0, 10)
    val = Split(train.images + 1, train.labels, train.rows + N)
    val.images[:, :, :, 0] ^= 128  # another pattern: no image of train
    return {"train": train, "val": val, "test": Split(train.images.flip(3) ^ 64, train.labels, train.rows + 2 * N)}


def test_writes_a_diagnosis_and_prints_its_headline_and_its_findings(
    tmp_path: Path, splits: dict[SplitName, Split], capsys: pytest.CaptureFixture[str]
) -> None:
    diagnose(PARAMS, write_project(tmp_path, splits, even(4, N)))
    diagnosis = read_diagnosis(tmp_path)
    printed = capsys.readouterr().out.removesuffix("\n")
    assert printed.startswith(f"Verdict: {diagnosis.verdict}. {diagnosis.headline}\n")
    lines = [line for line in printed.splitlines()[1 + diagnosis.headline.count("\n") :] if not line.startswith(" " * 15)]
    for line, found in zip(lines, diagnosis.findings, strict=True):
        assert line.lstrip().startswith(found.status.replace("_", " "))
    assert [found.code for found in diagnosis.findings] == list(CHECKS)


def test_only_the_checks_that_are_listed_run_in_their_order(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    diagnose(params(checks=["performance", {"name": "integrity"}]), write_project(tmp_path, splits, even(4, N)))
    assert [found.code for found in read_diagnosis(tmp_path).findings] == ["performance", "integrity"]


def test_metadata_of_the_test_rows_reaches_the_slices(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    root = write_project(tmp_path, splits, even(4, N))
    right = splits["test"].images.flatten(1).argmax(1) == splits["test"].labels  # the model says which pixel is the brightest
    cameras = ["good" if answer else "bad" for answer in right]
    lines = [("test", row, f"{row}.png", "", camera) for row, camera in enumerate(cameras)]
    write_rows(root, [("train", 0, "a.png", "", "other"), *lines], ["camera"])
    diagnose(params(checks=["slices"]), root)
    (found,) = read_diagnosis(root).findings
    assert (found.status, found.estimate, found.n) == ("flag", 1.0, cameras.count("bad"))
    assert "images with camera = bad" in str(found.evidence["weak_slices"])
    assert found.evidence["slices_compared"] == 3 + 3 + 2

    write_rows(root, lines[1:], ["camera"])
    with pytest.raises(ArtifactError, match="119 rows of test, and the split itself 120"):
        diagnose(params(checks=["slices"]), root)


def test_leaves_the_temperature_beside_the_model_whatever_the_checks(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    root = write_project(tmp_path, splits, even(4, N))
    diagnose(PARAMS, root)
    found = next(finding for finding in read_diagnosis(root).findings if finding.code == "overconfident")
    temperature = read_temperature(root / "models")
    assert found.evidence["temperature"] == temperature
    diagnose(params(checks=["gap"]), root)
    assert read_temperature(root / "models") == temperature


def test_says_beside_the_model_why_there_is_no_temperature(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    root = write_project(tmp_path, splits, even(1, N))
    diagnose(PARAMS, root)
    with pytest.raises(ArtifactError, match="the diagnosis fitted none: Only one epoch was run"):
        read_temperature(root / "models")


def test_checks_that_only_describe_give_no_verdict(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    diagnose(params(checks=["gap"]), write_project(tmp_path, splits, even(4, N)))
    assert read_diagnosis(tmp_path).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (["integrity", "overtraind"], "diagnose.checks.1.name: unknown name 'overtraind'; expected one of"),
        (["overtraind"], "did you mean 'overtrained'?"),
        (
            [{"name": "gap", "bins": 3}],
            "diagnose.checks.0.bins: is an option of calibration, not of gap; drop it (gap has no options)",
        ),
        (["gap", "gap"], "diagnose.checks: found gap more than once"),
        ([], "diagnose.checks: found []"),
        ("gap", "diagnose.checks: expected a list such as [gap], found 'gap'"),
    ],
)
def test_rejects_checks_that_are_not_there_or_listed_twice(stated: object, message: str) -> None:
    with pytest.raises(ParamsError) as caught:
        params(checks=stated)
    assert message in str(caught.value)


@pytest.mark.slow
def test_a_new_check_is_one_new_file(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    """In a copy of the folder; the file alone makes the check available, and it runs only where it is listed."""
    shutil.copytree("tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tasks/diagnostics/checks/always.py").write_text(ALWAYS, encoding="utf-8")
    write_project(tmp_path, splits, even(4, N))
    imports = "import sys, pathlib; from tasks.core.settings import validate; from tasks.diagnose import Params, diagnose"

    def run(code: str, *arguments: str) -> str:
        command = [sys.executable, "-c", f"{imports}; {code}", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    def findings(*checks: str) -> tuple[str, list[str]]:
        options = "{'seed': 0, 'threads': 1, 'diagnose': {'checks': sys.argv[1:]}}"
        run(f"diagnose(validate(Params, {options}), pathlib.Path())", *checks)
        diagnosis = read_diagnosis(tmp_path)
        return diagnosis.verdict, [finding.code for finding in diagnosis.findings]

    default = "validate(Params, {'seed': 0, 'threads': 1, 'diagnose': {}}).diagnose.checks"
    assert run(f"print(*(check.name for check in {default}))").split() == list(CHECKS)
    assert findings(*CORE) == ("inconclusive", CORE)
    splits["train"].images[7] = splits["test"].images[31]
    write_project(tmp_path, splits, even(4, N))
    assert findings("integrity", "always") == ("alarming", ["integrity", "always"])  # its precedence is below that of leakage


ALWAYS = '''
from tasks.core.settings import Section
from tasks.diagnostics.question import Question

VERDICT, PRECEDENCE, REQUIRED = "alarming", 5, True
QUESTION = Question("always", "Always", "Always raised.", "none", "none", "nats")


class Settings(Section):
    """No options."""


def check(measured, limits, settings):
    return QUESTION.answer("flag", "Always.", len(measured.test.labels))
'''


def test_a_last_epoch_that_unlearned_is_overtrained(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    good = 3.0 * torch.nn.functional.one_hot(splits["val"].labels, 3)
    last = torch.where(torch.arange(N)[:, None] % 3 == 0, good.roll(1, dims=1), good)
    splits["test"] = bars(500, 130)
    diagnose(params(checks=CORE), write_project(tmp_path, splits, torch.stack([good, good, last])))
    diagnosis = read_diagnosis(tmp_path)
    assert diagnosis.verdict == "overtrained"
    assert "at the saved epoch 3 than at epoch 1" in diagnosis.headline


def test_a_test_image_copied_into_train_is_leakage_and_its_row_is_named(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    splits["test"] = bars(500, 130)
    splits["train"].images[7] = splits["test"].images[31]
    diagnose(PARAMS, write_project(tmp_path, splits, even(4, N)))
    diagnosis = read_diagnosis(tmp_path)
    assert diagnosis.verdict == "leakage"
    assert diagnosis.findings[0].evidence["leaked_test_rows"] == [531]
    assert diagnosis.findings[0].evidence["row_numbers"] == "lines of the test"


def test_gap_and_performance_are_of_the_delivered_weights(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    splits["test"] = bars(500, 130)
    diagnose(params(checks=CORE), write_project(tmp_path, splits, even(4, N)))
    _, performance, gap, *_ = read_diagnosis(tmp_path).findings
    assert performance.estimate == pytest.approx(0.9)
    assert performance.evidence["log_loss"] == gap.evidence["test_log_loss"]
    assert "log_loss_ci" not in performance.evidence  # its interval is that of evaluate: one number, one interval
    assert gap.evidence["train_accuracy"] == pytest.approx(0.9)
    assert gap.evidence["accuracy_gap"] == pytest.approx(0)


def test_without_validation_images_the_verdict_is_inconclusive_and_says_why(
    tmp_path: Path, splits: dict[SplitName, Split]
) -> None:
    splits["test"], splits["val"] = bars(500, 130), split([], [], 0)
    diagnose(params(checks=CORE), write_project(tmp_path, splits, even(4, 0)))
    diagnosis = read_diagnosis(tmp_path)
    assert (diagnosis.verdict, diagnosis.flags) == ("inconclusive", [])
    assert diagnosis.headline.startswith("There is no validation set, so epochs cannot be compared.")
    assert [found.status for found in diagnosis.findings[3:]] == ["not_run", "not_run"]


def test_writes_the_same_bytes_twice(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    write_project(tmp_path, splits, torch.randn(5, N, 3, generator=torch.Generator().manual_seed(0)))
    diagnose(PARAMS, tmp_path)
    first = (tmp_path / DIAGNOSIS).read_bytes()
    diagnose(PARAMS, tmp_path)
    assert (tmp_path / DIAGNOSIS).read_bytes() == first


def test_refuses_recordings_of_another_split(tmp_path: Path, splits: dict[SplitName, Split]) -> None:
    write_project(tmp_path, splits, even(4, N))
    write_split(tmp_path, "val", split([0, 1], [0, 1], 0))
    with pytest.raises(ArtifactError, match="do not belong together"):
        diagnose(PARAMS, tmp_path)


def test_a_temperature_at_the_limit_of_the_search_is_not_left_beside_the_model(
    tmp_path: Path, splits: dict[SplitName, Split]
) -> None:
    diagnose(PARAMS, write_project(tmp_path, splits, even(4, N), gain=4e4))
    with pytest.raises(
        ArtifactError, match="fitted none: The log-loss still falls at the largest temperature that is searched"
    ):
        read_temperature(tmp_path / "models")
