"""Folders of images as users have them: their layout, what is copied, and what is said of what cannot be read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.core.errors import ArtifactError, DataError
from tasks.datasets import image_folder
from tasks.datasets.image_folder import Settings
from tasks.sources.source import Rows, Source


def paint(path: Path, value: int = 0, size: tuple[int, int] = (5, 4)) -> None:
    """A grey image of one value, `size` = (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


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


def fetched(folder: Path, raw: Path, skip_unreadable: bool = False) -> Source:
    settings = Settings(skip_unreadable=skip_unreadable)
    image_folder.fetch(settings, folder, raw)
    return image_folder.load(settings, raw)


def paths(rows: Rows | None) -> list[str]:
    assert rows is not None
    return list(rows.paths)


def test_says_which_system_files_are_ignored(folder: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "dog/Thumbs.db").write_bytes(b"\0")
    (folder / "Desktop.ini").write_bytes(b"\0")

    assert paths(fetched(folder, raw).train) == names(raw) == ["cat/1.png", "dog/10.png", "dog/2.png"]
    printed = capsys.readouterr().out
    assert "download: hidden and system files that are ignored: 3, such as Desktop.ini\n" in printed


def test_lists_classes_and_files_sorted_by_name(folder: Path, raw: Path) -> None:
    source = fetched(folder, raw)

    assert names(raw) == paths(source.train) == ["cat/1.png", "dog/10.png", "dog/2.png"]
    assert source.train.images == [raw / name for name in source.train.paths]
    assert source.classes == ["cat", "dog"]
    assert source.train.labels.dtype == np.int64
    assert source.train.labels.tolist() == [0, 1, 1]
    assert source.val is source.test is None
    assert source.unreadable == 0
    assert (raw / "dog/2.png").read_bytes() == (folder / "dog/2.png").read_bytes()


def test_order_does_not_come_from_the_disk(tmp_path: Path, raw: Path) -> None:
    for value in (5, 0, 3, 7, 1, 6, 2, 4):
        paint(tmp_path / f"own/{value % 4}/{value}.png", value)
    source = fetched(tmp_path / "own", raw)

    assert source.classes == ["0", "1", "2", "3"]
    assert paths(source.train) == ["0/0.png", "0/4.png", "1/1.png", "1/5.png", "2/2.png", "2/6.png", "3/3.png", "3/7.png"]


def test_takes_images_of_any_size_and_mode(folder: Path, raw: Path) -> None:
    paint(folder / "dog/3.png", size=(40, 30))
    Image.new("RGBA", (7, 7)).save(folder / "dog/4.png")
    Image.new("CMYK", (7, 7)).save(folder / "dog/5.jpg")

    assert len(fetched(folder, raw).train.labels) == 6


@pytest.mark.parametrize("layout", ["train val test", "Train Valid TEST", "TRAIN validation Test"])
def test_takes_split_folders_in_any_case(tmp_path: Path, raw: Path, layout: str) -> None:
    train, val, test = layout.split()
    for name in ["train/a/1", "train/b/1", "train/b/2", "val/a/5", "val/b/6", "test/a/3", "test/b/4"]:
        split, _, rest = name.partition("/")
        paint(tmp_path / "own" / {"train": train, "val": val, "test": test}[split] / f"{rest}.png")
    source = fetched(tmp_path / "own", raw)

    assert names(raw) == names(tmp_path / "own")
    assert source.val is not None
    assert source.test is not None
    assert paths(source.train) == [f"{train}/a/1.png", f"{train}/b/1.png", f"{train}/b/2.png"]
    assert paths(source.val) == [f"{val}/a/5.png", f"{val}/b/6.png"]
    assert paths(source.test) == [f"{test}/a/3.png", f"{test}/b/4.png"]
    assert source.train.labels.tolist() == [0, 1, 1]
    assert source.val.labels.tolist() == source.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize("absent", ["val", "test"])
def test_a_split_folder_may_be_absent(tmp_path: Path, raw: Path, absent: str) -> None:
    for split in {"train", "val", "test"} - {absent}:
        paint(tmp_path / "own" / split / "a/1.png")
        paint(tmp_path / "own" / split / "b/1.png")
    source = fetched(tmp_path / "own", raw)

    assert (source.val is None) == (absent == "val")
    assert (source.test is None) == (absent == "test")


def test_a_class_may_be_called_train(tmp_path: Path, raw: Path) -> None:
    for name in ("train", "bus", "test"):
        paint(tmp_path / "own" / name / "1.png")

    assert fetched(tmp_path / "own", raw).classes == ["bus", "test", "train"]


def spoil(folder: Path) -> None:
    """A text, a truncated image and an image that is no file in the folder of dogs."""
    (folder / "dog/notes.txt").write_text("woof")
    Image.effect_noise((64, 64), 90).save(folder / "dog/cut.png")
    (folder / "dog/cut.png").write_bytes((folder / "dog/cut.png").read_bytes()[:-30])
    (folder / "dog/gone.png").symlink_to(folder / "nowhere.png")


def test_names_every_unreadable_file_at_once(folder: Path, raw: Path) -> None:
    spoil(folder)

    with pytest.raises(DataError) as caught:
        image_folder.fetch(Settings(), folder, raw)
    message = str(caught.value)
    assert "3 of 6 files cannot be read as images:" in message
    assert "dog/cut.png: corrupt or unsupported image (" in message
    assert "dog/gone.png: No such file or directory" in message
    assert "dog/notes.txt: not an image in one of the formats" in message
    assert "set download.dataset.skip_unreadable to true" in message


def test_names_twenty_files_and_how_many_more(folder: Path, raw: Path) -> None:
    for number in range(50):
        (folder / f"dog/{number:02}.txt").write_text("woof")

    with pytest.raises(DataError) as caught:
        image_folder.fetch(Settings(), folder, raw)
    assert str(caught.value).count(".txt: ") == 20
    assert "… and 30 more" in str(caught.value)


def test_leaves_unreadable_files_out_and_counts_them(folder: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(folder)
    source = fetched(folder, raw, skip_unreadable=True)

    assert paths(source.train) == ["cat/1.png", "dog/10.png", "dog/2.png"]
    assert names(raw) == ["cat/1.png", "dog/10.png", "dog/2.png", "unreadable.json"]
    assert source.unreadable == 3
    printed = capsys.readouterr().out
    assert "left out 3 of 6 files" in printed
    assert "dog/notes.txt: not an image" in printed


def test_rejects_a_class_of_which_nothing_can_be_read(folder: Path, raw: Path) -> None:
    (folder / "cat/1.png").write_text("meow")

    with pytest.raises(DataError, match="no image of class 'cat' in train can be read"):
        image_folder.fetch(Settings(skip_unreadable=True), folder, raw)


def test_says_once_that_the_first_of_several_frames_is_used(
    folder: Path, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("L", (5, 4), value) for value in (1, 200)]
    for name in ("a.gif", "b.gif"):
        frames[0].save(folder / "dog" / name, save_all=True, append_images=frames[1:])
    fetched(folder, raw)

    said = [line for line in capsys.readouterr().out.splitlines() if "frames" in line]
    assert said == ["download: files with several frames or pages: 2; the first of each is used"]


def rejected(folder: Path, raw: Path, message: str) -> None:
    """`fetch` finds it before it copies anything."""
    with pytest.raises(DataError, match=message):
        image_folder.fetch(Settings(), folder, raw)
    assert list(raw.iterdir()) == []


def test_rejects_a_missing_folder(tmp_path: Path, raw: Path) -> None:
    rejected(tmp_path / "nowhere", raw, r"nowhere is missing; expected one sub-folder per class.*download\.path")


def test_rejects_a_file_in_place_of_the_folder(folder: Path, raw: Path) -> None:
    rejected(folder / "README.md", raw, r"README\.md is a file; expected one sub-folder per class")


def test_rejects_a_folder_without_classes(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "own").mkdir()
    rejected(tmp_path / "own", raw, r"holds 0 class folders \(none\).*two or more")


def test_rejects_a_class_without_an_image(folder: Path, raw: Path) -> None:
    (folder / "emu").mkdir()
    (folder / "emu/.DS_Store").write_bytes(b"\0")
    rejected(folder, raw, "own/emu holds no image; expected one or more")


def test_rejects_a_folder_inside_a_class(folder: Path, raw: Path) -> None:
    paint(folder / "dog/more/1.png")
    rejected(folder, raw, "dog/more is a folder inside a class")


def test_rejects_different_classes_in_train_and_test(tmp_path: Path, raw: Path) -> None:
    for name in ["train/a", "train/b", "train/c", "test/a", "test/b"]:
        paint(tmp_path / "own" / name / "1.png")
    rejected(tmp_path / "own", raw, "classes in only one of train/ and test/: c")


def test_rejects_another_folder_beside_the_splits(tmp_path: Path, raw: Path) -> None:
    for name in ["train/a", "train/b", "holdout/a", "test/a", "test/b"]:
        paint(tmp_path / "own" / name / "1.png")
    rejected(tmp_path / "own", raw, r"holds holdout beside train/; only train/, val/ and test/ are supported")


def test_rejects_two_folders_for_one_split(tmp_path: Path, raw: Path) -> None:
    for name in ["train/a", "train/b", "val/a", "val/b", "valid/a", "valid/b"]:
        paint(tmp_path / "own" / name / "1.png")
    rejected(tmp_path / "own", raw, "holds val and valid; expected one folder for the split val")


def test_rejects_names_that_cannot_be_written_down(folder: Path, raw: Path) -> None:
    paint(folder / "dog/b\udce4r.png")  # "bär" in Latin-1
    rejected(folder, raw, r"(?s)file names that are not UTF-8 \(1\):\n  'dog/b\\udce4r\.png'\nrename")


def test_rejects_missing_raw_data(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="raw is missing"):
        image_folder.load(Settings(), tmp_path / "raw")
