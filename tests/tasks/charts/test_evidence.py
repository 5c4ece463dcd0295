"""The evidence of a finding: facts as pairs, and lists that belong together as tables."""

from tasks.charts.evidence import facts, tables

CANDIDATES = {
    "test_accuracy": 0.9,
    "test_candidate_rows": [12, 3],
    "test_candidate_given_classes": [0, 1],
    "test_candidate_margin": [-4.25, -0.5],
}


def test_shows_an_interval_beside_its_estimate() -> None:
    found = {
        "accuracy_gap": -0.0371,
        "accuracy_gap_ci": [-0.0566, -0.0232],
        "leaked_rows": [],
        "error_p_value": 0.5,
        "train_images": 754,
    }
    assert facts(found) == [
        ("Accuracy gap", "−0.037 (−0.057 to −0.023)"),
        ("Leaked rows", "none"),
        ("Error p value", "0.5000"),
        ("Train images", "754"),
    ]
    assert facts({"left_ci": [1, 2]}) == [("Left ci", "[1, 2]")]


def test_lists_of_one_name_become_a_table_with_the_names_of_the_classes() -> None:
    (table,) = tables(CANDIDATES, ["cat", "dog"])
    assert (table.caption, table.head) == ("Test candidate", ["Rows", "Given classes", "Margin"])
    assert table.rows == [["12", "cat", "−4.25"], ["3", "dog", "−0.5"]]
    assert facts(CANDIDATES) == [("Test accuracy", "0.9")]


def test_lists_of_each_class_become_a_table_that_names_the_classes() -> None:
    found = {"recall_of_each_class": [0.5, 1.0], "p_value_of_each_class_after_adjustment": [0.25, 1e-9], "recall": 0.75}
    (table,) = tables(found, ["cat", "dog"])
    assert (table.caption, table.head) == ("For each class", ["Class", "Recall", "P value after adjustment"])
    assert table.rows == [["cat", "0.5", "0.2500"], ["dog", "1.0", "< 0.0001"]]
    assert facts(found) == [("Recall", "0.75")]


def test_a_column_of_names_comes_first() -> None:
    (table,) = tables({"images_of_each_slice": [5, 6], "name_of_each_slice": ["left", "right"]}, [])
    assert (table.head, table.rows) == (["Slice", "Images"], [["left", "5"], ["right", "6"]])


def test_lists_that_only_happen_to_be_as_long_stay_apart() -> None:
    found = {"leaked_test_rows": [1, 2], "leaked_validation_rows": [3, 4], "gap_ci": [0, 1], "gap_of": [1, 2]}
    assert tables(found, []) == []
    assert len(facts(found)) == 4
    assert tables({"test_candidate_rows": [1], "test_candidate_margin": [0.5, 0.6]}, []) == []


def test_cuts_a_long_table_and_says_how_long_it_is() -> None:
    (table,) = tables({"a_of_each_class": list(range(100)), "b_of_each_class": list(range(100))}, ["x"] * 100)
    assert (len(table.rows), table.total) == (24, 100)
