"""Arrays of an .npz file that are mapped from disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.sources.npz import mapped

VALUES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
ARRAYS = {
    "in rows": VALUES,
    "in columns": np.asfortranarray(VALUES),
    "wide": VALUES.astype(np.float64),
    "empty": VALUES[:0],
    "names": np.array(["cat", "dog"]),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=list(ARRAYS))
def test_a_mapped_array_is_the_one_that_was_saved(
    tmp_path: Path, save: Callable[..., None], array: "np.ndarray[Any, Any]"
) -> None:
    save(tmp_path / "own.npz", other=np.ones(7), x=array)
    found = mapped(tmp_path / "own.npz", "x", tmp_path)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    assert isinstance(found, np.memmap) == (array.size > 0)
    assert [file.name for file in tmp_path.iterdir()] == ["own.npz"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_python_objects_are_not_read(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "own.npz", x=np.array([{}, []], dtype=object))
    with pytest.raises(ValueError, match="Object arrays"):
        mapped(tmp_path / "own.npz", "x", tmp_path)
