"""What tables and files of tensors hold, by name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from flows.lineage.export.columns import columns


def test_names_and_types_come_from_the_head_of_the_file(tmp_path: Path) -> None:
    table = pd.DataFrame({"row": [1], "a,b": [0.5]})
    table.to_csv(tmp_path / "table.csv", index=False)
    table.to_parquet(tmp_path / "table.parquet")
    save_file({"w": np.zeros((2, 3), np.float32), "b": np.zeros(3, np.uint8)}, tmp_path / "t.safetensors", {"format": "np"})
    assert columns(tmp_path / "table.csv") == [("row", None), ("a,b", None)]
    assert columns(tmp_path / "table.parquet") == [("row", "int64"), ("a,b", "double")]
    assert columns(tmp_path / "t.safetensors") == [("b", "U8[3]"), ("w", "F32[2, 3]")]


def test_another_kind_has_no_columns_and_an_empty_table_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    assert columns(tmp_path / "a.csv") == columns(tmp_path / "model.json") == []


def test_a_header_longer_than_the_format_allows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes((10**12).to_bytes(8, "little"))
    with pytest.raises(ValueError, match="the header says that it has 1000000000000 bytes"):
        columns(tmp_path / "t.safetensors")
