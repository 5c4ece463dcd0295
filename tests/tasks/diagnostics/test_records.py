"""Predictions as tables: what is read from them, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from tasks.core.errors import DataError
from tasks.diagnostics.records import Records, classes_of, read_records

TABLE = pd.DataFrame(
    {
        "epoch": [2, 1, 1, 2],
        "row": [7, 7, 3, 3],
        "label": [1, 1, 0, 0],
        "probability_0": [0.25, 0.5, 0.75, 1.0],
        "probability_1": [0.75, 0.5, 0.25, 0.0],
    }
)


def read(table: pd.DataFrame, split: str = "validation") -> Records:
    return read_records(table, split, classes_of([table]))


def test_answers_are_arranged_by_epoch_and_row() -> None:
    records = read(TABLE)
    assert records.kind == "probabilities of 2 classes"
    assert records.epochs is not None
    assert records.epochs.tolist() == [1, 2]
    assert records.rows.tolist() == [3, 7]
    assert records.labels.tolist() == [0, 1]
    assert records.loss is not None
    np.testing.assert_allclose(np.exp(-records.loss), [[0.75, 0.5], [1.0, 0.75]], rtol=1e-6)
    assert records.correct is not None
    assert records.correct.tolist() == [[True, False], [True, True]], "of two equal probabilities the first class is predicted"


def test_logits_give_the_losses_of_their_probabilities() -> None:
    table = TABLE[["epoch", "row", "label"]].assign(
        logit_0=5 + np.log(TABLE["probability_0"]), logit_1=5 + np.log(TABLE["probability_1"].clip(1e-30))
    )
    found, expected = read(table), read(TABLE)
    assert found.kind == "logits of 2 classes"
    assert found.loss is not None
    assert expected.loss is not None
    np.testing.assert_allclose(found.loss, expected.loss, atol=1e-6)


def test_a_probability_of_0_of_the_true_class_has_a_finite_loss() -> None:
    records = read(pd.DataFrame({"label": [1], "probability_0": [1.0], "probability_1": [0.0]}))
    assert records.epochs is None
    assert records.loss is not None
    assert 87 < records.loss.item() < 88


def test_names_of_classes_are_those_of_the_columns_in_their_order() -> None:
    table = pd.DataFrame({"label": ["dog", "cat"], "probability_dog": [0.9, 0.2], "probability_cat": [0.1, 0.8]})
    assert classes_of([table]) == ["dog", "cat"]
    assert read(table).labels.tolist() == [0, 1]
    numbered = pd.DataFrame({"label": [10.0], **{f"probability_{k}": [1 / 11] for k in reversed(range(11))}})
    assert classes_of([numbered]) == [str(k) for k in range(11)]
    assert read(numbered).labels.tolist() == [10], "a label 10.0 is class 10"


def test_losses_alone_are_known_as_such() -> None:
    table = TABLE[["epoch", "row", "label"]].assign(loss=[0.1, 0.2, 0.3, 0.4], correct=[True, False, True, True])
    records = read(table)
    assert records.logits is None
    assert records.loss is not None
    assert records.loss.tolist() == [[0.3, 0.2], [0.4, 0.1]]


def test_labels_alone_are_enough_for_train_and_for_no_other_split() -> None:
    table = pd.DataFrame({"row": [4, 2], "label": [1, 0]})
    assert read(table, "train").labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="test has the columns row, label; expected row, label, and probability_0"):
        read(table, "test")


def without(column: str) -> pd.DataFrame:
    return TABLE.drop(columns=column)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (without("label"), "validation has the columns epoch, row, probability_0, probability_1; expected row, label"),
        (without("row"), "expected row, label"),
        (without("probability_1"), "found the one column probability_0; expected one for each class"),
        (TABLE.iloc[:0], "validation has no rows"),
        (TABLE.iloc[:3], "validation has 1 rows at epoch 2 and 2 at epoch 1, and not the same ones"),
        (TABLE.assign(row=[7, 7, 3, 7]), "row 7 of validation at epoch 2 has the same row again"),
        (TABLE.assign(label=[1, 0, 0, 0]), "row 7 of validation changes its label between epochs"),
        (TABLE.assign(label=[1, 1, 0, 5]), "the label 5; expected one of the classes 0, 1"),
        (
            TABLE.assign(probability_0=0.9),
            "row 3 of validation at epoch 1 has probabilities that are negative or do not sum to 1",
        ),
        (TABLE.assign(probability_0=np.nan), r"an answer that is not a finite number \(4 such rows\)"),
        (TABLE.assign(row=[7.5, 7, 3, 3]), "numbers that are not whole"),
        (TABLE.assign(row=["a", "b", "c", "d"]), "the column row of validation holds text"),
        (TABLE.assign(epoch=[1, 1, np.nan, 2]), "a row of validation has no epoch"),
    ],
)
def test_an_impossible_table_says_where_and_what_was_expected(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(table)


@pytest.mark.parametrize(
    ("loss", "correct", "message"),
    [(-1.0, True, "a loss that is negative"), (np.inf, True, "not a finite number"), (0.5, 2, "a value of correct other than")],
)
def test_impossible_losses_are_refused(loss: float, correct: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(pd.DataFrame({"label": [1], "loss": [loss], "correct": [correct]}))


def test_tables_of_different_classes_are_refused() -> None:
    other = TABLE.rename(columns={"probability_0": "probability_2"})
    with pytest.raises(DataError, match="one table has the classes 0, 1 and another 1, 2; expected the same in all"):
        classes_of([TABLE, other])
