"""Values of files by key, and where they differ."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from flows.lineage.verification.comparing import EXACT, ROUNDED, differences, values
from tasks.core.files import write_json


def apart(one: object, other: object) -> list[tuple[str, str, str]]:
    first, second = values(one), values(other)
    assert first is not None
    assert second is not None
    return list(differences(first, second, EXACT))


def test_a_number_of_a_json_file_is_named_by_its_key(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": {"y": [1, 2.5]}, "z": "s", "gone": None})
    write_json(tmp_path / "b.json", {"x": {"y": [1, 2.75]}, "z": "s", "more": {}})
    assert apart(tmp_path / "a.json", tmp_path / "b.json") == [
        ("x.y[1]", "2.5", "2.75"),
        ("gone", "null", "no such value"),
        ("more", "no such value", "{}"),
    ]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_cell_of_a_table_is_named_by_column_and_row(tmp_path: Path, ending: str) -> None:
    one = pd.DataFrame({"class": ["7", "NA"], "loss": [0.1, float("nan")]})
    other = one.assign(loss=[0.1, 2.0])
    for name, table in (("a", one), ("b", other)):
        path = tmp_path / f"{name}.{ending}"
        table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path, index=False)
    assert apart(tmp_path / f"a.{ending}", tmp_path / f"b.{ending}") == [("loss of row 1", "NaN", "2.0")]
    assert apart(tmp_path / f"a.{ending}", one) == []


def test_a_tensor_is_named_by_the_place_of_its_largest_difference(tmp_path: Path) -> None:
    one = {"w": np.zeros((2, 3), dtype=np.float32), "b": np.zeros(2, dtype=np.int64)}
    moved = np.array([[0, 0.25, 0], [0, 0, -0.5]], dtype=np.float32)
    other = {"w": moved, "b": np.zeros(3, dtype=np.int64)}
    save_file(one, tmp_path / "a.safetensors")
    save_file(other, tmp_path / "b.safetensors")
    found = apart(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert ("w[1, 2], where 2 of 6 values differ", "0.0", "-0.5") in found
    assert ("shape of b", "[2]", "[3]") in found
    assert len(found) == 2


def test_rounding_is_allowed_only_where_it_was_asked_for() -> None:
    one, other = {"a": 1.0, "b": True, "c": "x"}, {"a": 1.00005, "b": True, "c": "x"}
    assert list(differences(one, other, ROUNDED)) == []
    assert list(differences(one, other, EXACT)) == [("a", "1.0", "1.00005")]
    assert list(differences({"a": 1.0}, {"a": 1.001}, ROUNDED)) == [("a", "1.0", "1.001")]
    assert list(differences({"b": True}, {"b": False}, ROUNDED)) == [("b", "true", "false")]


def test_a_file_of_another_kind_or_a_damaged_one_has_no_values(tmp_path: Path) -> None:
    for name in ("page.html", "a.json", "a.parquet", "a.safetensors"):
        (tmp_path / name).write_text("{")
        assert values(tmp_path / name) is None
