"""Histories as other tools write them; the files in logs/ were written by Lightning 2.6, Transformers 5.24 and DVCLive 3.49."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.core.errors import DataError
from tasks.diagnostics.files import load
from tasks.diagnostics.history import DVCLIVE, HUGGING_FACE, LIGHTNING, PLAIN, History, recognise

LOGS = Path(__file__).parent / "logs"


def read(name: str) -> History:
    return recognise(load(LOGS / name))


def values(history: History, metric: str) -> list[float]:
    found = history.values(metric)
    assert found is not None
    return [round(value, 4) for value in found.tolist()]


@pytest.mark.parametrize("name", ["lightning", "lightning/metrics.csv"])
def test_lightning_has_its_epoch_means_the_last_validation_and_the_rate_of_each_epoch(name: str) -> None:
    history = read(name)
    assert history.kind == LIGHTNING
    assert history.epochs.tolist() == [0, 1, 2, 3, 4, 5], "without the epoch that the test after training logged"
    assert values(history, "train_loss") == [0.6362, 0.5262, 0.5030, 0.4907, 0.4823, 0.4772]
    assert values(history, "val_loss") == [0.5488, 0.4984, 0.5098, 0.5182, 0.5107, 0.5286]
    assert values(history, "val_accuracy") == [0.755, 0.765, 0.78, 0.79, 0.775, 0.78]
    assert values(history, "learning_rate") == [0.01, 0.009, 0.0081, 0.0073, 0.0066, 0.0059]


def test_lightning_steps_are_averaged_where_no_epoch_mean_was_logged() -> None:
    table = load(LOGS / "lightning").drop(columns="train_loss_epoch")
    assert values(recognise(table), "train_loss")[0] == round((0.66289943 + 0.65455413) / 2, 4)


@pytest.mark.parametrize("name", ["hugging_face", "hugging_face/trainer_state.json"])
def test_hugging_face_has_one_row_for_each_evaluation_while_training(name: str) -> None:
    history = read(name)
    assert history.kind == HUGGING_FACE
    assert history.epochs.tolist() == [1, 2, 3, 4], "without the evaluation of the best weights at the end"
    assert values(history, "train_loss") == [0.6360, 0.5527, 0.5177, 0.5120]
    assert values(history, "val_loss") == [0.5937, 0.5206, 0.5079, 0.5038]
    assert values(history, "val_accuracy") == [0.715, 0.77, 0.805, 0.81]
    assert values(history, "learning_rate") == [0.0388, 0.0263, 0.0138, 0.0013]


def test_hugging_face_losses_between_two_evaluations_are_averaged() -> None:
    log = [
        {"epoch": 0.5, "step": 5, "loss": 3.0},
        {"epoch": 1.0, "step": 10, "loss": 1.0},
        {"epoch": 1.0, "step": 10, "eval_loss": 0.5},
    ]
    assert values(recognise(pd.DataFrame(log)), "train_loss") == [2.0]


def test_hugging_face_without_an_evaluation_is_told_what_to_set() -> None:
    log = [{"epoch": 1.0, "step": 10, "loss": 1.0}, {"epoch": 1.0, "step": 10, "eval_accuracy": 0.5}]
    with pytest.raises(DataError, match=r"no eval_loss; expected an evaluation after each epoch \(eval_strategy='epoch'\)"):
        recognise(pd.DataFrame(log))


@pytest.mark.parametrize("name", ["dvclive", "dvclive/plots/metrics"])
def test_dvclive_joins_its_metrics_by_step(name: str) -> None:
    history = read(name)
    assert history.kind == DVCLIVE
    assert history.epochs.tolist() == [0, 1, 2, 3, 4]
    assert values(history, "train_loss") == [1.0, 0.5, 0.3333, 0.25, 0.2]
    assert values(history, "val_loss") == [0.9, 0.6, 0.5, 0.6, 0.9]


@pytest.mark.parametrize(
    ("columns", "metric"),
    [
        (["Epoch", "loss", "val_loss"], "train_loss"),  # Keras' CSVLogger
        (["epoch", "train/acc", "valid_acc"], "val_accuracy"),
        (["epoch", "train_loss", "validation/loss"], "val_loss"),
        (["epoch", "step", "train_loss", "lr"], "learning_rate"),  # one row for each epoch
        (["epoch", "training-loss", "eval_accuracy"], "val_accuracy"),
    ],
)
def test_plain_columns_are_known_by_many_names(columns: list[str], metric: str) -> None:
    history = recognise(pd.DataFrame([[3, *[0.5] * (len(columns) - 1)], [2, *[0.25] * (len(columns) - 1)]], columns=columns))
    assert history.kind == PLAIN
    assert history.epochs.tolist() == [2, 3], "in the order of the epochs"
    assert values(history, metric) == [0.25, 0.5]


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t"), ("txt", ";"), ("parquet", ""), ("json", "")])
def test_a_table_is_read_by_its_content_whatever_its_name(tmp_path: Path, suffix: str, separator: str) -> None:
    table = pd.DataFrame({"epoch": [1, 2], "val_loss": [0.5, np.nan]})
    path = tmp_path / "numbers"
    if separator:
        table.to_csv(path, sep=separator, index=False)
    elif suffix == "parquet":
        table.to_parquet(path, index=False)
    else:
        path.write_text(json.dumps(table.to_dict("records")))
    assert recognise(load(path)).epochs.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"loss": [1.0]}, "the columns loss has neither epoch nor step; expected a column epoch"),
        ({"epoch": [1], "f1": [0.5]}, "the columns epoch, f1 has no loss and no accuracy"),
        ({"epoch": [1, 1], "val_loss": [1.0, 2.0]}, "epoch 1 occurs more than once"),
        ({"epoch": [1, None], "val_loss": [1.0, 2.0]}, "a row of the history has no epoch"),
        ({"epoch": [1], "val_loss": ["low"]}, "the column val_loss of the history holds text"),
        ({"epoch": [1], "val_accuracy": [93.0]}, "val_accuracy holds 93; expected fractions from 0 to 1"),
        ({"epoch": [1], "val_loss": [1.0], "valid_loss": [1.0]}, "found val_loss and valid_loss, which both mean val_loss"),
        ({"epoch": [], "val_loss": []}, "or there is no row"),
    ],
)
def test_what_is_no_history_says_what_was_found_and_expected(table: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        recognise(pd.DataFrame(table))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a table"),
        (b'{"best_metric": 1}', "holds an object with the keys best_metric; expected .* trainer_state.json with log_history"),
        (b"[1, 2]", "holds list; expected a list of objects"),
        (b"{", "is not a table"),
        (b"PAR1 torn", "is not a table"),
        (b"a,b\n1,2\n1,2,3,4\n", "is not a table"),
        (b"\xff\xfe\x00a,b\n1,2", "is not a table"),
    ],
)
def test_a_file_that_is_no_table_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "numbers").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "numbers")


def test_a_folder_without_a_log_and_a_missing_file_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has none of metrics.csv, trainer_state.json and DVCLive's plots/metrics"):
        load(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        load(tmp_path / "absent")
    (tmp_path / "loss.tsv").write_text("step\tother\n1\t2\n")
    with pytest.raises(DataError, match="has the columns step, other; expected DVCLive's step and loss"):
        load(tmp_path)
