"""The diagnosis of tables says what the diagnosis of the same recorded run says; where a table is missing, it says which."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.findings import Diagnosis, Finding
from tasks.core.components import Component
from tasks.core.errors import DataError, ParamsError
from tasks.diagnostics.frames import chosen, diagnose_frames
from tasks.diagnostics.measured import Measured
from tasks.diagnostics.parts import MissingPartError, Parts, missing
from tasks.diagnostics.verdict import examine
from tasks.statistics.calibration import log_losses
from tests.tasks.diagnostics.tables import table, tables, world
from tests.tasks.diagnostics.worlds import LIMITS, measured

NAMES = Component("tasks.diagnostics.checks").names()


def by_code(diagnosis: Diagnosis) -> dict[str, Finding]:
    return {finding.code: finding for finding in diagnosis.findings}


@pytest.mark.parametrize("harm", ["overconfident", "overtrained", ""])
def test_tables_of_a_run_give_the_findings_of_the_run(harm: str) -> None:
    recorded, labels = world(harm)
    diagnosis, run = diagnose_frames(**tables(recorded, labels), limits=LIMITS), measured(recorded, labels)
    known, found = by_code(examine(chosen(None), run, LIMITS)), by_code(diagnosis)
    assert (harm in diagnosis.flags) == bool(harm)
    assert found.pop("curves").status == "info"
    assert set(found) == set(known) == set(NAMES)
    for code, finding in found.items():
        if finding.status == "not_run" != known[code].status:
            assert "pixels" in finding.summary, code
            continue
        assert finding.status == known[code].status, code
        assert finding.estimate == pytest.approx(known[code].estimate, abs=1e-5), code
        assert finding.ci_low == pytest.approx(known[code].ci_low, abs=1e-5), code
        assert finding.ci_high == pytest.approx(known[code].ci_high, abs=1e-5), code
    assert found["integrity"].status == "not_run"
    assert sum(finding.status != "not_run" for finding in found.values()) >= 7


def test_without_a_flag_the_headline_says_what_passed_and_what_was_not_run() -> None:
    diagnosis = diagnose_frames(**tables(*world()), limits=LIMITS, checks=["integrity", "performance", "gap"])
    assert diagnosis.verdict == "inconclusive", "leakage was not looked for"
    assert diagnosis.headline == (
        "No flag was raised. Passed: performance. Not run: integrity. Not listed, but needed for a good fit: learning, overtrained, "
        "overconfident."
    )


def test_examples_are_not_called_images() -> None:
    diagnosis = diagnose_frames(**tables(*world("overtrained")), limits=LIMITS)
    assert "2000 validation examples" in diagnosis.headline
    assert not [
        finding.code for finding in diagnosis.findings if "image" in f"{finding.summary} {finding.definition} {finding.title}"
    ]


@pytest.mark.parametrize(
    ("given", "code", "lacks"),
    [
        ("history", "overtrained", "predictions"),
        ("history predictions", "performance", "predictions on test"),
        ("history predictions test", "performance", "the labels of train"),
        ("predictions test", "gap", "predictions on train"),
        ("test", "calibration", "predictions on validation"),
        ("history test train", "overconfident", "predictions"),
    ],
)
def test_a_check_whose_numbers_are_not_given_names_them(given: str, code: str, lacks: str) -> None:
    all_of_them = tables(*world(n=200))
    found = by_code(diagnose_frames(**{name: all_of_them[name] for name in given.split()}))[code]
    assert found.status == "not_run"
    assert found.summary.startswith(f"Not given: {lacks}")
    assert found.estimate is None


def test_labels_of_train_are_enough_for_the_majority_class() -> None:
    given = tables(*world())
    diagnosis = diagnose_frames(test=given["test"], train=given["test"][["row", "label"]])
    found = by_code(diagnosis)
    assert found["performance"].status == "pass"
    assert found["gap"].summary == "Not given: predictions on train."


@pytest.mark.parametrize("harm", ["overconfident", "overtrained"])
def test_predictions_of_every_epoch_are_enough_for_the_checks_of_epochs(harm: str) -> None:
    recorded, labels = world(harm)
    diagnosis = diagnose_frames(predictions=tables(recorded, labels)["predictions"], limits=LIMITS)
    assert harm in diagnosis.flags


def test_records_of_train_are_enough_to_ask_whether_the_run_learned() -> None:
    finding = by_code(diagnose_frames(train=tables(*world())["train"]))["learning"]
    assert finding.status == "pass"
    assert "highest_learning_rate" not in finding.evidence
    assert "test_gain_over_class_frequencies" not in finding.evidence


def test_wrong_labels_are_looked_for_without_the_records_of_train() -> None:
    given = tables(*world())
    found = by_code(diagnose_frames(predictions=given["predictions"], test=given["test"]))["label_noise"]
    assert found.status == "pass"
    assert "test_candidate_rows" in found.evidence
    assert "train_candidate_rows" not in found.evidence


def test_predictions_without_epochs_are_those_of_the_saved_epoch() -> None:
    recorded, labels = world("overconfident")
    found = by_code(diagnose_frames(predictions=table(recorded[-1], labels)))
    assert found["calibration"].status == "flag"
    assert found["overtrained"].summary == "Not given: predictions of every epoch on validation."


def test_the_saved_epoch_can_be_another_than_the_last() -> None:
    recorded, labels = world("overconfident")
    last = diagnose_frames(**tables(recorded, labels))
    earlier = diagnose_frames(**tables(recorded, labels), saved_epoch=3)
    assert "overconfident" in last.flags
    assert earlier.flags == []
    assert by_code(earlier)["overtrained"].evidence["saved_epoch"] == 3


def test_losses_alone_give_an_interval_and_no_flag() -> None:
    recorded, labels = world("overtrained")
    given = tables(recorded, labels)
    each = [
        {
            "loss": log_losses(logits, labels),
            "correct": logits.argmax(1) == labels,
            "label": labels,
            "row": range(len(labels)),
            "epoch": epoch,
        }
        for epoch, logits in enumerate(recorded, start=1)
    ]
    losses = pd.concat([pd.DataFrame(epoch) for epoch in each])
    diagnosis = diagnose_frames(predictions=losses, limits=LIMITS)
    known, found = by_code(diagnose_frames(predictions=given["predictions"], limits=LIMITS)), by_code(diagnosis)
    assert found["epochs"].status == "info"
    assert found["epochs"].estimate == pytest.approx(known["overconfident"].estimate, abs=1e-5)
    assert found["epochs"].ci_low == pytest.approx(known["overconfident"].ci_low, abs=1e-5)
    assert found["epochs"].ci_low is not None
    assert found["epochs"].ci_low > 0, "the harm is seen"
    assert found["overtrained"].summary == "Not given: probabilities or logits, beside the losses that were given."
    assert diagnosis.flags == []
    assert diagnosis.verdict == "inconclusive"


def test_a_history_alone_is_described_and_never_flagged() -> None:
    history = pd.DataFrame(
        {
            "epoch": [0, 1, 2, 3],
            "train_loss": [1.0, 0.5, 0.2, 0.1],
            "val_loss": [1.1, 0.8, 1.5, 3.0],
            "val_accuracy": [0.5, 0.7, 0.6, 0.4],
        }
    )
    diagnosis = diagnose_frames(history)
    curves = by_code(diagnosis)["curves"]
    assert (diagnosis.verdict, diagnosis.flags, diagnosis.answered) == ("inconclusive", [], [])
    assert {finding.status for finding in diagnosis.findings} == {"info", "not_run"}
    assert (curves.estimate, curves.ci_low, curves.ci_high) == (None, None, None)
    assert curves.evidence["epoch_of_lowest_val_loss"] == 1
    assert curves.evidence["rise_since_lowest_val_loss"] == pytest.approx(2.2)
    assert curves.evidence["val_minus_train_loss"] == pytest.approx(2.9)
    assert "lowest at epoch 1 (0.8000) and 2.2000 higher at the saved epoch 3 (3.0000)" in diagnosis.headline
    assert "cannot tell what is chance, so that nothing is claimed" in diagnosis.headline
    assert "no interval can be given and no flag is raised" in curves.summary


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (
            [0.5, np.nan, np.inf],
            "has no finite value in 2 of them. Validation loss is lowest at epoch 1 (0.5000) and has no finite value at",
        ),
        ([np.inf, np.inf, np.inf], "has no finite value in 3 of them."),
        ([3.0, 2.0, 1.0], "lowest at epoch 3 (1.0000), which is the saved one."),
    ],
)
def test_a_loss_that_is_not_finite_is_said(losses: list[float], said: str) -> None:
    assert said in by_code(diagnose_frames(pd.DataFrame({"epoch": [1, 2, 3], "val_loss": losses})))["curves"].summary


def test_files_and_frames_say_the_same(tmp_path: Path) -> None:
    given = tables(*world(n=200))
    paths: dict[str, Any] = {name: tmp_path / f"{name}.parquet" for name in given}
    for name, frame in given.items():
        frame.to_parquet(paths[name], index=False)
    assert diagnose_frames(**paths) == diagnose_frames(**given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"history": pd.DataFrame({"epoch": [1, 2], "val_loss": [1.0, 2.0]})},
            r"the history \(2 epochs, 1 to 2\) do not have the same",
        ),
        ({"test": table(np.zeros((2, 3), np.float32), np.array([0, 1]), 1)}, "test has a column epoch"),
        (
            {"test": table(np.zeros((2, 4), np.float32), np.array([0, 1]))},
            "one table has the classes 0, 1, 2 and another 0, 1, 2, 3",
        ),
        ({"train": table(np.zeros((2, 3), np.float32), np.array([0, 1]), 9)}, "and train predictions|the training predictions"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(change: dict[str, pd.DataFrame], message: str) -> None:
    with pytest.raises(DataError, match=message):
        diagnose_frames(**{**tables(*world(n=50)), **change})


def test_named_columns_of_test_are_metadata_and_others_are_not() -> None:
    given = tables(*world(n=50))["test"]
    right = given.filter(like="logit").to_numpy().argmax(axis=1) == given["label"]
    given = given.assign(site=np.where(right, 1.0, np.nan), note=range(len(given)))[::-1]
    (found,) = diagnose_frames(test=given, metadata=["site"], checks=["slices"]).findings
    assert (found.status, found.estimate) == ("flag", 1.0)
    assert found.evidence["weak_slices"] == ["images with site = (empty)"]
    (plain,) = diagnose_frames(test=given, checks=["slices"]).findings
    assert plain == diagnose_frames(test=given.drop(columns=["site", "note"]), checks=["slices"]).findings[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"metadata": ["camera"]},
            "test has no column camera, only row, label, logit_0, .*; expected the columns that metadata names",
        ),
        (
            {"metadata": ["row"]},
            "test has metadata with too many values: row: 2000 different values; expected at most 50 in each",
        ),
        ({"metadata": ["row"], "test": None}, "metadata names row, but no test was given"),
    ],
)
def test_metadata_that_cannot_be_used_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        diagnose_frames(**{**tables(*world(n=50)), **change})


def test_nothing_given_and_unknown_names_are_refused() -> None:
    with pytest.raises(DataError, match="neither a history nor predictions were given"):
        diagnose_frames()
    with pytest.raises(DataError, match="the saved epoch 9 is not among what was recorded; expected one of epochs 1 to 6"):
        diagnose_frames(**tables(*world(n=50)), saved_epoch=9)
    with pytest.raises(ParamsError, match=r"unknown name 'overtraned'; .*did you mean 'overtrained'"):
        diagnose_frames(**tables(*world(n=50)), checks=["overtraned"])
    with pytest.raises(ParamsError, match="smallest_area"):
        diagnose_frames(**tables(*world(n=50)), checks=[{"name": "membership", "smallest_area": 2.0}])


def test_a_missing_part_is_named_when_it_is_read_and_not_before() -> None:
    class Some(Parts, Measured):
        pass

    whole = measured(*world(n=50))
    some = Some(**{**vars(whole), "rates": missing("the rates")})
    assert some.saved == whole.saved
    assert not isinstance(some.comparison, str)
    with pytest.raises(MissingPartError, match="the rates"):
        _ = some.rates
