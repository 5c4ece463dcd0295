"""`goodfit diagnose`: from any folder, on files alone, with one message where it cannot."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.diagnostics.frames import diagnose_frames
from tasks.diagnostics.verdict import as_text
from tests.conftest import ROOT, Project, environment
from tests.flows.conftest import InProcess
from tests.tasks.diagnostics.tables import tables, world

pytestmark = pytest.mark.slow

GOODFIT = Path(sys.executable).with_name("goodfit")
LOGS = ROOT / "tests/tasks/diagnostics/logs"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables of an overconfident run, and a log of Lightning: no pipeline here or above."""
    here = tmp_path_factory.mktemp("numbers")
    for name, table in tables(*world("overconfident", n=1000)).items():
        table.to_parquet(here / f"{name}.parquet", index=False)
    shutil.copy(LOGS / "lightning/metrics.csv", here)
    return here


Diagnose = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def diagnose(place: Path, in_process: InProcess) -> Diagnose:
    """`goodfit diagnose`, in the folder of the tables unless another is stated."""

    def call(*arguments: str, code: int = 0, folder: Path = place) -> "subprocess.CompletedProcess[str]":
        done = in_process(folder, "diagnose", *arguments)
        stdout, stderr = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, stdout + stderr
        return subprocess.CompletedProcess(arguments, code, stdout, stderr)

    return call


TABLES = ("--history", "history.parquet", "--predictions", "predictions.parquet")


def test_it_says_what_was_read_and_prints_the_diagnosis(place: Path) -> None:
    command = [str(GOODFIT), "diagnose", *TABLES, "--test", "test.parquet", "--train", "train.parquet"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=environment(), timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    history, predictions, test, train = (place / f"{name}.parquet" for name in ("history", "predictions", "test", "train"))
    expected = diagnose_frames(history, predictions, test, train)
    assert done.stdout.startswith(
        "history: plain columns with one row for each epoch, 6 epochs\n"
        "validation predictions: logits of 3 classes, 1000 examples, 6 epochs\n"
        "test predictions: logits of 3 classes, 2000 examples\n"
        "train predictions: logits of 3 classes, 2000 examples, 6 epochs\n"
        "saved epoch: 6, the last one; state another if its weights are used\n\nVerdict: "
    )
    assert as_text(expected) in done.stdout
    assert "overconfident" in expected.flags
    assert done.stderr == ""


def test_a_history_alone_is_no_failure_and_claims_nothing(diagnose: Diagnose) -> None:
    done = diagnose("--history", "metrics.csv", "--fail-on", "any")
    assert "history: a log with several rows for each epoch, as Lightning's CSVLogger writes it, 6 epochs" in done.stdout
    assert "epochs: counted 0 to 5 by the tables and the learning curves, 1 to 6 by the checks" in done.stdout
    assert "Verdict: inconclusive. A history alone cannot tell what is chance" in done.stdout
    assert "Not given: predictions of every epoch on validation." in done.stdout
    assert "goodfit's own pipeline" not in done.stdout, "where no parameter is named"


@pytest.mark.parametrize("log", ["lightning", "hugging_face", "dvclive"])
def test_the_folders_of_other_tools_are_read(diagnose: Diagnose, log: str) -> None:
    found = json.loads(diagnose("--history", log, "--json", folder=LOGS).stdout)
    assert found["verdict"] == "inconclusive"
    assert found["findings"][0]["code"] == "curves"


def test_json_has_what_was_read_and_every_finding(diagnose: Diagnose) -> None:
    found = json.loads(diagnose(*TABLES, "--saved-epoch", "3", "--json").stdout)
    assert found["read"][-1] == "saved epoch: 3"
    assert found["flags"] == []
    assert {finding["code"]: finding["status"] for finding in found["findings"]}["overconfident"] == "pass"


def test_a_parameter_that_is_named_is_said_to_be_that_of_the_pipeline(place: Path, diagnose: Diagnose) -> None:
    tables(*world(n=30))["predictions"].to_csv(place / "few.csv", index=False)
    done = diagnose("--predictions", "few.csv")
    assert "Use a larger validation set (preprocess.val_fraction)." in done.stdout
    assert done.stdout.endswith("is a parameter of goodfit's own pipeline: change its counterpart in your code.\n")


def test_a_raised_flag_of_fail_on_fails_and_no_other(diagnose: Diagnose) -> None:
    done = diagnose(*TABLES, "--fail-on", "overtrained,overconfident", code=1)
    assert done.stderr == "error: raised: overconfident (--fail-on overtrained,overconfident)\n"
    assert diagnose(*TABLES, "--fail-on", "overtrained").stderr == ""


def test_fail_on_does_not_pass_where_no_check_could_tell(diagnose: Diagnose) -> None:
    done = diagnose(*TABLES, "--fail-on", "leakage,overtrained", code=1)
    assert done.stderr == "error: --fail-on leakage: no check had the data to tell\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--history", "absent.csv"), "absent.csv: no such file or folder"),
        (("--history", "test.parquet"), "has neither epoch nor step; expected a column epoch"),
        (("--predictions", "metrics.csv"), "validation has the columns epoch, lr-Adam, step"),
        (("--test", "predictions.parquet"), "test has a column epoch; expected the answers of the saved epoch alone"),
        (("--test", "test.parquet", "--metadata", "label, site"), "test has no column site, only row, label, logit_0"),
        ((*TABLES, "--saved-epoch", "7"), "the saved epoch 7 is not among what was recorded; expected one of epochs 1 to 6"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_was_found_and_expected(
    diagnose: Diagnose, arguments: tuple[str, ...], message: str
) -> None:
    done = diagnose(*arguments, code=1)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--history",), ("--history", "metrics.csv", "--seed", "-1")])
def test_a_wrong_call_is_a_usage_error(diagnose: Diagnose, arguments: tuple[str, ...]) -> None:
    assert diagnose(*arguments, code=2).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pilot", "--seed", "0"), "--seed is an option of the checks on files, not of --pilot; drop it"),
        (("--label-candidates", "3", "--seed", "1"), "--seed is an option of the checks on files, not of --label-candidates"),
        (("--evaluations", "--split", "test"), "--split is an option of --label-candidates, not of --evaluations; drop it"),
        (
            ("--history", "metrics.csv", "--split", "val"),
            "--split is an option of --label-candidates, not of the checks on files",
        ),
        (("--split", "val"), "nothing to diagnose; expected --history"),
    ],
)
def test_an_option_beside_a_job_that_does_not_use_it_is_a_usage_error(
    diagnose: Diagnose, arguments: tuple[str, ...], message: str
) -> None:
    done = diagnose(*arguments, code=2)
    assert done.stdout == ""
    assert message in done.stderr


def test_the_help_has_an_example(diagnose: Diagnose) -> None:
    said = diagnose("--help").stdout
    assert "goodfit diagnose --history lightning_logs/version_0/metrics.csv" in said
    assert "numbers of your own:" in said


def test_too_few_seeds_and_files_beside_a_pilot_are_usage_errors(diagnose: Diagnose) -> None:
    assert "found '2'; expected a whole number of at least 3" in diagnose("--pilot", "2", code=2).stderr
    assert "found --pilot and --test; expected one of them" in diagnose("--pilot", "--test", "test.parquet", code=2).stderr


@pytest.mark.slow
def test_a_pilot_prints_what_each_remedy_brought_and_changes_nothing(ran: Project, diagnose: Diagnose) -> None:
    before = ran.outputs()
    printed = diagnose("--pilot", "--pilot-epochs", "1", folder=ran.root).stdout
    assert "3 seeds, 504 validation images; no test image was read" in printed
    for remedy in ("weight decay", "dropout", "augmentation", "early stopping"):
        assert f"\n{remedy}" in printed
    found = json.loads(ran.run("goodfit", "diagnose", "--pilot", "--pilot-epochs", "2", "--json").stdout)
    assert found["remedies"][0]["changes"] == {"train.regularisation.l2": 0.001}
    assert ran.outputs() == before
    assert ran.is_clean()
