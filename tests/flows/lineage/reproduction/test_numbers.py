"""By how much two versions of a file differ."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from flows.lineage.reproduction.numbers import Difference, differences


def compared(tmp_path: Path, name: str, before: str, after: str) -> list[Difference] | None:
    first, second = tmp_path / "before", tmp_path / "after"
    first.write_text(before)
    second.write_text(after)
    return differences(first, second, name)


def test_tensors_are_compared_one_by_one_the_largest_difference_first(tmp_path: Path) -> None:
    before = {"bias": torch.tensor([1.0, 2.0]), "weight": torch.tensor([[1.0, 200.0]]), "same": torch.arange(3)}
    after = {"bias": torch.tensor([1.0, 2.5]), "weight": torch.tensor([[1.25, 202.0]]), "same": torch.arange(3)}
    save_file(before, tmp_path / "before")
    save_file(after, tmp_path / "after")
    found = differences(tmp_path / "before", tmp_path / "after", "models/model.safetensors")
    assert found is not None
    assert [(one.name, one.largest, one.scaled) for one in found] == [("bias", 0.5, 0.25), ("weight", 2.0, 0.25)]
    assert found[0].what == "largest difference 0.5 (1 of 2 numbers differ)"
    assert [one.within(0.25) for one in found] == [True, True]
    assert [one.within(0.2) for one in found] == [False, False]


def test_a_tensor_of_another_shape_or_type_is_within_no_tolerance(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2), "b": torch.zeros(2), "c": torch.zeros(1)}, tmp_path / "before")
    save_file({"a": torch.zeros(3), "b": torch.zeros(2, dtype=torch.float64), "d": torch.zeros(1)}, tmp_path / "after")
    found = differences(tmp_path / "before", tmp_path / "after", "x.safetensors") or []
    assert {one.name for one in found} == {"a", "b", "c", "d"}
    assert not any(one.within(1e9) for one in found)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (torch.bfloat16, torch.float32, "recorded bfloat16 (2,), found float32 (2,)"),
        (torch.float16, torch.bfloat16, "recorded float16 (2,), found bfloat16 (2,)"),
        (torch.float8_e4m3fn, torch.float8_e5m2, "recorded float8_e4m3fn (2,), found float8_e5m2 (2,)"),
        (torch.int64, torch.int32, "recorded int64 (2,), found int32 (2,)"),
        (torch.bool, torch.int64, "recorded bool (2,), found int64 (2,)"),
        (torch.complex64, torch.float32, "recorded complex64 (2,), found float32 (2,)"),
    ],
)
def test_equal_numbers_of_another_type_are_told(tmp_path: Path, before: torch.dtype, after: torch.dtype, said: str) -> None:
    save_file({"a": torch.tensor([0.0, 1.0]).to(before)}, tmp_path / "before")
    save_file({"a": torch.tensor([0.0, 1.0]).to(after)}, tmp_path / "after")
    (found,) = differences(tmp_path / "before", tmp_path / "after", "x.safetensors") or []
    assert (found.what, found.within(1e9)) == (said, False)


NOON = np.array(["2026-01-01T12", "NaT"], dtype="datetime64[ns]")


def tables_compared(tmp_path: Path, before: pd.DataFrame, after: pd.DataFrame) -> list[Difference]:
    before.to_parquet(tmp_path / "before")
    after.to_parquet(tmp_path / "after")
    return differences(tmp_path / "before", tmp_path / "after", "x.parquet") or []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([True, False], [1.0, 0.0], "recorded bool (2,), found double (2,)"),
        (pd.array([1, None], dtype="Int64"), [1.0, np.nan], "recorded int64 (2,), found double (2,)"),
        (NOON[:1], NOON[:1].astype(np.int64), "recorded timestamp[ns] (1,), found int64 (1,)"),
        (NOON, NOON.astype("datetime64[us]"), "recorded timestamp[ns] (2,), found timestamp[us] (2,)"),
    ],
)
def test_equal_values_of_another_type_in_a_table_are_told(tmp_path: Path, before: Any, after: Any, said: str) -> None:
    (found,) = tables_compared(tmp_path, pd.DataFrame({"a": before}), pd.DataFrame({"a": after}))
    assert (found.what, found.within(1e9)) == (said, False)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (NOON, NOON + np.timedelta64(1, "h"), "recorded 2026-01-01 12:00:00, found 2026-01-01 13:00:00"),
        ([[1], [2, 3]], [[1], [2, 4]], "recorded [2, 3], found [2, 4]"),
        ([True, False], [True, True], "recorded False, found True"),
        (pd.array([2, None], dtype="Int64"), pd.array([2, 3], dtype="Int64"), "recorded None, found 3"),
    ],
)
def test_what_has_no_distance_is_equal_or_not(tmp_path: Path, before: Any, after: Any, said: str) -> None:
    unchanged = pd.DataFrame({"a": before, "other": range(2)})
    assert [one.name for one in tables_compared(tmp_path, unchanged, unchanged.assign(other=5))] == ["other"]
    (found,) = tables_compared(tmp_path, unchanged, unchanged.assign(a=after))
    assert (found.what, found.within(1e9)) == (said, False)


def test_integers_with_a_missing_one_are_compared_exactly(tmp_path: Path) -> None:
    before, after = (pd.DataFrame({"a": pd.array([2**53 + more, None], dtype="Int64")}) for more in (0, 1))
    (found,) = tables_compared(tmp_path, before, after)
    assert (found.largest, found.within(0.0), found.within(1e-15)) == (1.0, False, True)


def test_the_index_of_a_table_is_compared(tmp_path: Path) -> None:
    before, after = (pd.DataFrame({"a": [1, 2]}, index=["x", last]) for last in "yz")
    (found,) = tables_compared(tmp_path, before, after)
    assert (found.what, found.within(1e9)) == ("recorded y, found z", False)


@pytest.mark.parametrize(
    ("dtype", "before", "after"),
    [(torch.int64, 2**53, 2**53 + 1), (torch.uint64, 2**64 - 2, 2**64 - 1), (torch.int64, -(2**63) + 1, -(2**63))],
)
def test_large_integers_are_compared_exactly(tmp_path: Path, dtype: torch.dtype, before: int, after: int) -> None:
    save_file({"a": torch.tensor([0, before], dtype=dtype)}, tmp_path / "before")
    save_file({"a": torch.tensor([0, after], dtype=dtype)}, tmp_path / "after")
    (found,) = differences(tmp_path / "before", tmp_path / "after", "x.safetensors") or []
    assert (found.largest, found.within(0.0), found.within(1e-15)) == (1.0, False, True)


def test_the_difference_of_two_integers_may_be_larger_than_an_integer(tmp_path: Path) -> None:
    save_file({"a": torch.tensor([-(2**63)])}, tmp_path / "before")
    save_file({"a": torch.tensor([2**63 - 1])}, tmp_path / "after")
    (found,) = differences(tmp_path / "before", tmp_path / "after", "x.safetensors") or []
    assert (found.largest, found.scaled) == (2.0**64, 2.0)


@pytest.mark.parametrize(
    ("before", "after", "largest"),
    [
        (str(2**53), str(2**53 + 1), 1.0),
        (f"{2**53}.0", str(2**53 + 1), 1.0),
        (str(2**63), str(2**63 + 1), 1.0),
        (str(-(2**63)), str(2**63), 2.0**64),
        (str(2**70), str(2**70 + 1), 1.0),
        (str(10**400), str(10**400 + 1), None),
        (str(10**400), "1", None),
    ],
)
def test_large_integers_in_a_text_are_compared_exactly(tmp_path: Path, before: str, after: str, largest: float | None) -> None:
    for name, form in (("x.json", '{{"a": {}}}'), ("x.csv", "a\n{}\n")):
        assert compared(tmp_path, name, form.format(before), form.format(before)) == []
        (found,) = compared(tmp_path, name, form.format(before), form.format(after)) or []
        assert (found.largest, found.within(0.0)) == (largest, False)


def test_a_large_integer_leaves_the_numbers_beside_it_their_tolerance(tmp_path: Path) -> None:
    (found,) = compared(tmp_path, "x.csv", f"a\n{2**53 + 1}\n0.5\n", f"a\n{2**53 + 1}\n0.5000001\n") or []
    assert found.largest == pytest.approx(1e-7)
    assert (found.within(2e-7), found.within(5e-8)) == (True, False)
    assert found.what == "largest difference 1e-07 (1 of 2 numbers differ)"


def test_a_column_of_large_integers_may_have_an_empty_cell(tmp_path: Path) -> None:
    assert compared(tmp_path, "x.csv", f"a,b\n{2**53},1\n,2\n", f"a,b\n{2**53},1\n,2\n") == []
    (found,) = compared(tmp_path, "x.csv", f"a,b\n{2**53 + 1},1\n,2\n", f"a,b\n{2**53},1\n,2\n") or []
    assert (found.name, found.within(0.0)) == ("a", False)


def test_bfloat16_is_compared(tmp_path: Path) -> None:
    save_file({"a": torch.tensor([1.0], dtype=torch.bfloat16)}, tmp_path / "before")
    save_file({"a": torch.tensor([1.5], dtype=torch.bfloat16)}, tmp_path / "after")
    (found,) = differences(tmp_path / "before", tmp_path / "after", "x.safetensors") or []
    assert found.largest == 0.5


def test_nan_equals_nan_and_a_number_that_became_nan_is_told(tmp_path: Path) -> None:
    pd.DataFrame({"a": [np.nan, 1.0], "b": [1.0, 2.0]}).to_parquet(tmp_path / "before")
    pd.DataFrame({"a": [np.nan, 1.0], "b": [1.0, np.nan]}).to_parquet(tmp_path / "after")
    (found,) = differences(tmp_path / "before", tmp_path / "after", "x.parquet") or []
    assert (found.name, found.within(1e9)) == ("b", False)
    assert found.what == "recorded 2.0, found nan"


@pytest.mark.parametrize(("before", "after"), [("1", "Infinity"), ("-Infinity", "Infinity"), ("NaN", "1"), ("1e308", "-1e308")])
def test_what_is_infinitely_far_apart_is_within_no_tolerance(tmp_path: Path, before: str, after: str) -> None:
    for name, form in (("x.json", '{{"a": {}}}'), ("x.csv", "a\n{}\n2\n")):
        (found,) = compared(tmp_path, name, form.format(before), form.format(after)) or []
        assert (found.largest, found.within(1e300)) == (None, False)
    save_file({"a": torch.tensor([float(before)], dtype=torch.float64)}, tmp_path / "before")
    save_file({"a": torch.tensor([float(after)], dtype=torch.float64)}, tmp_path / "after")
    (found,) = differences(tmp_path / "before", tmp_path / "after", "x.safetensors") or []
    assert (found.largest, found.within(1e300)) == (None, False)


def test_text_in_a_table_is_equal_or_not(tmp_path: Path) -> None:
    pd.DataFrame({"a": ["x", "y"], "n": [1, 2]}).to_parquet(tmp_path / "before")
    pd.DataFrame({"a": ["x", "z"], "n": [1, 3]}).to_parquet(tmp_path / "after")
    found = {one.name: one for one in differences(tmp_path / "before", tmp_path / "after", "x.parquet") or []}
    assert (found["a"].largest, found["a"].what) == (None, "recorded y, found z")
    assert found["n"].largest == 1


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("epoch,loss\n1,0.5\n2,\n", "epoch,loss\n1,0.50\n2,\n", []),
        ("epoch,loss\n1,0.5\n2,nan\n", "epoch,loss\n1.0,0.5\n2.0,\n", []),
        ("epoch,loss\n1,0.5\n", "epoch,loss\n1,0.75\n", [("loss", 0.25)]),
        ("loss\n1\n", "loss\nhigh\n", [("loss", None)]),
        ("name,loss\na,0.5\n", "name,loss\nb,0.5\n", [("name", None)]),
        ("loss\n1\n", "loss\n1\n2\n", [("loss", None)]),
        ("loss\n1\n", "error\n1\n", [("loss", None), ("error", None)]),
    ],
)
def test_a_table_of_text_is_compared_by_column(tmp_path: Path, before: str, after: str, expected: list[Any]) -> None:
    found = compared(tmp_path, "results/history.csv", before, after)
    assert found is not None
    assert [(one.name, one.largest) for one in found] == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('{"a": 1}', '{ "a": 1.0 }', []),
        ('{"a": {"b": [1, 2]}}', '{"a": {"b": [1, 4]}}', [("a.b[1]", 2.0)]),
        ('{"a": true}', '{"a": 1}', [("a", None)]),
        ('{"a": null}', '{"a": "null"}', [("a", None)]),
        ('{"a": []}', '{"a": {}}', [("a", None)]),
        ('{"a": 1}', "{}", [("a", None), ("", None)]),
    ],
)
def test_json_is_compared_value_by_value(tmp_path: Path, before: str, after: str, expected: list[Any]) -> None:
    found = compared(tmp_path, "metrics/evaluation.json", before, after)
    assert found is not None
    assert [(one.name, one.largest) for one in found] == expected


@pytest.mark.parametrize("name", ["x.json", "x.csv", "x.parquet", "x.safetensors"])
def test_a_damaged_file_cannot_be_compared(tmp_path: Path, name: str) -> None:
    assert compared(tmp_path, name, 'a,b\n1\n"{', "a,b\n1\n") is None


def test_a_table_with_two_columns_of_one_name_cannot_be_compared(tmp_path: Path) -> None:
    assert compared(tmp_path, "x.csv", "a,a\n1,2\n", "a,a\n3,2\n") is None


def test_a_format_without_numbers_cannot_be_compared(tmp_path: Path) -> None:
    assert compared(tmp_path, "report/index.html", "<p>1", "<p>2") is None
