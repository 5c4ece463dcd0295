from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.core.errors import DataError
from tasks.datasets import image_folder


def paint(path: Path, value: int, mode: str = "L", size: tuple[int, int] = (5, 4)) -> None:
    """An image of one value (red; green and blue are one and two more), `size` = (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey, colour = Image.new("L", size, value), Image.new("RGB", size, (value, value + 1, value + 2))
    (grey if mode == "L" else colour.convert(mode)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, and what lies beside images: a text and hidden files."""
    own = tmp_path / "own"
    for name, value in [("dog/2.png", 21), ("dog/10.png", 20), ("cat/1.png", 10)]:
        paint(own / name, value)
    (own / "README.md").write_text("mine")
    (own / "cat/.DS_Store").write_bytes(b"\0")
    (own / ".hidden").mkdir()
    return own


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_reads_classes_and_files_sorted_by_name(folder: Path, raw: Path) -> None:
    image_folder.fetch(raw, folder)
    source = image_folder.load(raw)

    assert names(raw) == ["cat/1.png", "dog/10.png", "dog/2.png"]
    assert source.classes == ["cat", "dog"]
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == [0, 1, 1]
    assert source.images.shape == (3, 1, 4, 5)
    assert source.images.dtype == np.uint8
    assert source.images[:, 0, 0, 0].tolist() == [10, 20, 21]
    assert source.test_images is None


def test_order_does_not_come_from_the_disk(tmp_path: Path) -> None:
    for value in (5, 0, 3, 7, 1, 6, 2, 4):
        paint(tmp_path / f"{value % 4}/{value}.png", value)

    source = image_folder.source(tmp_path)

    assert source.classes == ["0", "1", "2", "3"]
    assert source.images[:, 0, 0, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_keeps_the_channels_of_rgb(tmp_path: Path) -> None:
    paint(tmp_path / "a/1.png", 10, "RGB")
    paint(tmp_path / "b/1.png", 20, "RGB")

    source = image_folder.source(tmp_path)

    assert source.images.shape == (2, 3, 4, 5)
    assert source.images.flags.c_contiguous
    assert source.images[:, :, 3, 4].tolist() == [[10, 11, 12], [20, 21, 22]]


def test_keeps_the_place_of_every_pixel(tmp_path: Path) -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png")

    assert np.array_equal(image_folder.source(tmp_path).images[1], pixels.transpose(2, 0, 1))


def test_takes_train_and_test_folders_as_splits(tmp_path: Path, raw: Path) -> None:
    own = tmp_path / "own"
    for name, value in [
        ("train/a/1.png", 1),
        ("train/b/1.png", 2),
        ("train/b/2.png", 3),
        ("test/a/1.png", 4),
        ("test/b/1.png", 5),
    ]:
        paint(own / name, value)
    image_folder.fetch(raw, own)
    source = image_folder.load(raw)

    assert names(raw) == names(own)
    assert source.test_images is not None
    assert source.test_labels is not None
    assert source.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert source.labels.tolist() == [0, 1, 1]
    assert source.test_images[:, 0, 0, 0].tolist() == [4, 5]
    assert source.test_labels.tolist() == [0, 1]


def rejected(folder: Path, raw: Path, message: str) -> None:
    """`fetch` finds it already, and copies nothing."""
    with pytest.raises(DataError, match=message):
        image_folder.fetch(raw, folder)
    assert list(raw.iterdir()) == []


def test_rejects_a_missing_folder(tmp_path: Path, raw: Path) -> None:
    rejected(tmp_path / "nowhere", raw, r"nowhere is missing; expected a class per sub-folder.*download\.path")


def test_rejects_a_file_in_place_of_the_folder(folder: Path, raw: Path) -> None:
    rejected(folder / "README.md", raw, r"README\.md is a file; expected a class per sub-folder")


def test_rejects_a_folder_without_classes(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "own").mkdir()
    rejected(tmp_path / "own", raw, r"holds 0 class folders \(none\).*two or more")


def test_rejects_a_class_without_an_image(folder: Path, raw: Path) -> None:
    (folder / "emu").mkdir()
    (folder / "emu/.DS_Store").write_bytes(b"\0")
    rejected(folder, raw, "emu holds no image; expected one or more")


def test_rejects_mixed_sizes_and_names_the_file(folder: Path, raw: Path) -> None:
    paint(folder / "dog/3.png", 1, size=(4, 5))
    rejected(folder, raw, r"dog/3\.png is 4x5 pixels and .*cat/1\.png 5x4; expected one size")


def test_rejects_mixed_modes_and_names_the_file(folder: Path, raw: Path) -> None:
    paint(folder / "dog/3.png", 1, "RGB")
    rejected(folder, raw, r"dog/3\.png is RGB and .*cat/1\.png L; expected one mode")


@pytest.mark.parametrize("mode", ["RGBA", "P", "1"])
def test_rejects_a_mode_that_is_neither_grey_nor_rgb(folder: Path, raw: Path, mode: str) -> None:
    paint(folder / "dog/3.png", 1, mode)
    rejected(folder, raw, rf"dog/3\.png has mode {mode}; expected L \(grey\) or RGB")


def test_rejects_sixteen_bits(folder: Path, raw: Path) -> None:
    Image.fromarray(np.full((4, 5), 60000, np.uint16)).save(folder / "dog/3.png")
    rejected(folder, raw, r"dog/3\.png has mode I;16; expected")


def test_rejects_a_file_that_is_no_image(folder: Path, raw: Path) -> None:
    (folder / "dog/notes.txt").write_text("woof")
    rejected(folder, raw, r"dog/notes\.txt cannot be read as an image")


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_rejects_a_truncated_image(folder: Path, raw: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(256, size=(4, 5), dtype=np.uint8)
    path = folder / f"dog/3.{ending}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-30])
    rejected(folder, raw, rf"dog/3\.{ending} cannot be read as an image")


def test_rejects_a_folder_inside_a_class(folder: Path, raw: Path) -> None:
    paint(folder / "dog/more/1.png", 1)
    rejected(folder, raw, "dog/more is a folder inside a class")


def test_rejects_different_classes_in_train_and_test(tmp_path: Path, raw: Path) -> None:
    for name in ["train/a", "train/b", "train/c", "test/a", "test/b"]:
        paint(tmp_path / "own" / name / "1.png", 1)
    rejected(tmp_path / "own", raw, "classes in only one of train/ and test/: c")


def test_rejects_a_third_folder_beside_train_and_test(tmp_path: Path, raw: Path) -> None:
    for name in ["train/a", "train/b", "val/a", "val/b", "test/a", "test/b"]:
        paint(tmp_path / "own" / name / "1.png", 1)
    rejected(tmp_path / "own", raw, "holds val beside train/ and test/")
