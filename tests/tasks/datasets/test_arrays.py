import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.core.errors import DataError
from tasks.datasets import arrays
from tasks.sources.source import Rows

IMAGES = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)
GOOD: dict[str, Any] = {
    "x_train": IMAGES,
    "y_train": np.array([0, 1, 2, 0, 1, 2]),
    "x_test": IMAGES[:2] + 1,
    "y_test": np.array([2, 0]),
}


def save(folder: Path, **changes: Any) -> Path:
    path = folder / "own.npz"
    np.savez(path, **{**GOOD, **changes})
    return path


def pixels(rows: Rows | None) -> "np.ndarray[Any, Any]":
    assert rows is not None
    assert not isinstance(rows.images, Sequence)
    return rows.images


def test_keeps_pixels_labels_and_order(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    path = save(tmp_path)
    arrays.fetch(arrays.Settings(), path, raw)
    source = arrays.load(arrays.Settings(), raw)

    assert (raw / "arrays.npz").read_bytes() == path.read_bytes()
    assert source.test is not None
    assert source.val is None
    assert pixels(source.train).dtype == np.uint8
    assert source.train.labels.dtype == np.int64
    assert np.array_equal(pixels(source.train)[:, 0], IMAGES)
    assert np.array_equal(pixels(source.test)[:, 0], IMAGES[:2] + 1)
    assert source.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert source.test.labels.tolist() == [2, 0]
    assert source.classes == ["0", "1", "2"]


def test_takes_a_validation_split_where_there_is_one(tmp_path: Path) -> None:
    source = arrays.read(save(tmp_path, x_val=IMAGES[:3] + 2, y_val=np.array([1, 1, 0])))

    assert source.val is not None
    assert np.array_equal(pixels(source.val)[:, 0], IMAGES[:3] + 2)
    assert source.val.labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize("absent", ["x_val", "y_val"])
def test_rejects_half_a_validation_split(tmp_path: Path, absent: str) -> None:
    given = {"x_val": IMAGES[:3], "y_val": np.array([1, 1, 0])}
    del given[absent]

    with pytest.raises(DataError, match=f"has no {absent}, only .*; expected .*x_val, y_val"):
        arrays.read(save(tmp_path, **given))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_may_come_first_or_last(tmp_path: Path, channels: int) -> None:
    first = np.random.default_rng(0).integers(256, size=(6, channels, 4, 5), dtype=np.uint8)
    last = np.ascontiguousarray(first.transpose(0, 2, 3, 1))

    for images in (first, last):
        source = arrays.read(save(tmp_path, x_train=images, x_test=images[:2]))
        assert np.array_equal(pixels(source.train), first)


@pytest.mark.parametrize("kind", ["U", "S"])
def test_takes_class_names_as_labels_sorted(tmp_path: Path, kind: str) -> None:
    names = np.array(["wolf", "cat", "dog", "wolf", "cat", "dog"], dtype=kind)
    source = arrays.read(save(tmp_path, y_train=names, y_test=names[1:3]))

    assert source.classes == ["cat", "dog", "wolf"]
    assert source.train.labels.tolist() == [2, 0, 1, 2, 0, 1]
    assert source.train.labels.dtype == np.int64
    assert source.test is not None
    assert source.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
def test_takes_one_hot_labels(tmp_path: Path, dtype: str) -> None:
    rows = np.eye(3, dtype=dtype)
    source = arrays.read(save(tmp_path, y_train=rows[[0, 1, 2, 2, 1, 0]], y_test=rows[[2, 0]]))

    assert source.classes == ["0", "1", "2"]
    assert source.train.labels.tolist() == [0, 1, 2, 2, 1, 0]
    assert source.test is not None
    assert source.test.labels.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("images", "conversion"),
    [
        (IMAGES / 255, "(x_train * 255).round().astype('uint8')"),
        (IMAGES.astype(np.float32), "x_train.round().astype('uint8')"),
        (IMAGES.astype(np.uint16) * 257, "(x_train / 257).round().astype('uint8')"),
        (IMAGES > 40, "x_train.astype('uint8') * 255"),
    ],
    ids=["unit floats", "floats", "sixteen bits", "bools"],
)
def test_the_advised_conversion_of_images_works(tmp_path: Path, images: "np.ndarray[Any, Any]", conversion: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"expected uint8, values 0 to 255: convert it with {conversion}") + "$"):
        arrays.read(save(tmp_path, x_train=images))

    converted = eval(conversion, {"x_train": images})  # noqa: S307 (what a reader of the message would type)
    source = arrays.read(save(tmp_path, x_train=converted))
    expected = (IMAGES > 40) * 255 if images.dtype == bool else IMAGES
    assert np.array_equal(pixels(source.train)[:, 0], expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64"])
def test_accepts_any_whole_number_type_for_labels(tmp_path: Path, dtype: str) -> None:
    source = arrays.read(save(tmp_path, y_train=GOOD["y_train"].astype(dtype)))

    assert source.train.labels.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"y_test": np.array([2, 3])}, r"y_test holds label 3 in row 1; expected .* 0\.\.2", id="out of range"),
        pytest.param({"y_train": np.array([0, 1, -1, 0, 1, 2])}, "y_train holds label -1 in row 2", id="negative"),
        pytest.param({"y_test": np.array([0, -7])}, "y_test holds label -7 in row 1", id="negative in test"),
        pytest.param({"y_train": np.array([0.0, 1, 2, 0, 1, 2])}, "y_train is float64; expected whole numbers", id="floats"),
        pytest.param({"y_train": np.array([True, False] * 3)}, "y_train is bool; expected whole numbers", id="bools"),
        pytest.param({"y_train": np.ones((6, 3), int)}, r"y_train has shape \(6, 3\), and row 0 is not one-hot", id="many-hot"),
        pytest.param({"y_train": np.zeros((6, 3, 1), int)}, r"\(6, 3, 1\); expected one label per image \(N,\)", id="3 axes"),
        pytest.param(
            {"y_test": np.array(["0", "1"])}, "y_test is <U1; expected whole numbers, as in y_train", id="mixed kinds"
        ),
        pytest.param({"y_train": np.array([*list("abcab"), ""])}, "y_train holds an empty name in row 5", id="empty name"),
        pytest.param(
            {"y_train": np.array(list("abcabc")), "y_test": np.array(["b", "x"])},
            "y_test holds x; expected a class of y_train: a, b, c",
            id="unknown name",
        ),
        pytest.param({"y_train": np.array([0, 1, 3, 0, 1, 3])}, "class 2 has no image", id="gap"),
        pytest.param({"y_train": np.zeros(6, int), "y_test": np.zeros(2, int)}, "one class only", id="one class"),
        pytest.param(
            {"y_train": np.array([0, 1, 2])},
            "y_train has 3 rows and x_train 6 images; expected one label per image",
            id="train lengths",
        ),
        pytest.param({"y_test": np.array([0, 1, 2])}, "y_test has 3 rows and x_test 2 images", id="test lengths"),
        pytest.param(
            {"x_train": IMAGES / 255}, "x_train is float64 with values from 0.0 to 0.4.*; expected uint8", id="float images"
        ),
        pytest.param({"x_test": IMAGES.astype(np.int64)}, "x_test is int64 with values .*; expected uint8", id="int images"),
        pytest.param({"x_train": IMAGES.reshape(6, 20)}, r"x_train has shape \(6, 20\); expected", id="flat images"),
        pytest.param({"x_train": IMAGES[:0]}, r"x_train has shape \(0, 4, 5\); expected", id="no images"),
        pytest.param(
            {"x_train": IMAGES.reshape(6, 2, 2, 5)}, "neither axis 1 nor axis 3 can be the channels", id="no channels"
        ),
        pytest.param(
            {"x_train": np.zeros((6, 3, 5, 3), np.uint8)}, "either axis 1 or axis 3 could be the channels", id="ambiguous"
        ),
        pytest.param({"x_test": IMAGES[:2, :3]}, r"x_test are \(1, 3, 5\).* x_train \(1, 4, 5\)", id="sizes"),
        pytest.param({"x_train": np.array([None] * 6)}, "x_train holds Python objects, as pickles", id="objects"),
    ],
)
def test_rejects_what_cannot_be_learned_from(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()

    with pytest.raises(DataError, match=message):
        arrays.fetch(arrays.Settings(), save(tmp_path, **changes), raw)
    assert list(raw.iterdir()) == []


@pytest.mark.parametrize("key", list(GOOD))
def test_names_a_missing_key(tmp_path: Path, key: str) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, **{name: array for name, array in GOOD.items() if name != key})

    with pytest.raises(DataError, match=rf"own\.npz has no {key}, only .*; expected x_train, y_train, x_test, y_test"):
        arrays.read(path)


def test_without_a_test_split_one_is_left_to_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, **{name: array for name, array in GOOD.items() if not name.endswith("_test")})

    source = arrays.read(path)
    assert source.test is None
    assert np.array_equal(source.train.labels, GOOD["y_train"])


def test_tells_a_missing_file_from_a_folder_and_from_another_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"own\.npz is missing; .*download\.path"):
        arrays.read(tmp_path / "own.npz")
    with pytest.raises(DataError, match=r"is a folder; expected an \.npz file"):
        arrays.read(tmp_path)
    np.save(tmp_path / "own.npy", IMAGES)
    with pytest.raises(DataError, match=r"own\.npy is not an \.npz file"):
        arrays.read(tmp_path / "own.npy")


def test_rejects_a_truncated_file(tmp_path: Path) -> None:
    path = save(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(DataError, match="is incomplete"):
        arrays.read(path)


def test_rejects_flipped_bytes_inside_the_archive(tmp_path: Path) -> None:
    path = save(tmp_path)
    content = path.read_bytes()
    pixels = content.index(IMAGES.tobytes())
    path.write_bytes(content[:pixels] + bytes(50) + content[pixels + 50 :])

    with pytest.raises(DataError, match=r"x_train is damaged \(Bad CRC"):
        arrays.read(path)
