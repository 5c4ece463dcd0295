import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tasks.core.errors import ArtifactError
from tasks.datasets import digits


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    digits.fetch(digits.Settings(), tmp_path, tmp_path)
    return tmp_path


def test_holds_scikit_learns_digits_and_loses_no_value(raw: Path) -> None:
    source, known = digits.load(digits.Settings(), raw), load_digits()

    images = source.train.images
    assert not isinstance(images, Sequence)
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == np.uint8
    assert source.train.labels.dtype == np.int64
    assert np.array_equal(source.train.labels, known.target)
    assert np.array_equal(images[:, 0], np.round(known.images * 255 / 16))
    assert np.array_equal(np.round(images[:, 0] / 255 * 16), known.images)
    assert images.max() == 255
    assert source.classes == list("0123456789")
    assert source.val is source.test is None


def test_rejects_a_damaged_file(raw: Path) -> None:
    (raw / "digits.csv.gz").write_bytes((raw / "digits.csv.gz").read_bytes()[:-1])

    with pytest.raises(ArtifactError, match=r"digits\.csv\.gz has md5 .*; expected 9b335364"):
        digits.load(digits.Settings(), raw)


def test_copies_the_shipped_bytes(raw: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    digits.fetch(digits.Settings(), tmp_path, again)

    assert (again / "digits.csv.gz").read_bytes() == (raw / "digits.csv.gz").read_bytes()
    shutil.rmtree(again)
    assert [path.name for path in raw.iterdir()] == ["digits.csv.gz"]
