"""Tables of images as users have them, with groups and splits of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.core.errors import DataError
from tasks.datasets import csv
from tasks.datasets.csv import Settings
from tasks.sources.source import Source

PLAIN = [("a/1.png", "cat"), ("a/2.png", "dog"), ("b/3.png", "cat"), ("4.png", "dog")]


def write(folder: Path, lines: Sequence[tuple[str, ...]], header: str = "path,label", table: str = "images.csv") -> Path:
    """A table, and a small image at each of its paths."""
    folder.mkdir(exist_ok=True)
    (folder / table).write_text("\n".join([header, *(",".join(line) for line in lines)]) + "\n", encoding="utf-8")
    for number, (name, *_) in enumerate(lines):
        if name and ".." not in name and not name.startswith("/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4 + number, 4)).save(folder / name)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def fetched(folder: Path, raw: Path, **options: Any) -> Source:
    csv.fetch(Settings(**options), folder, raw)
    return csv.load(Settings(**options), raw)


def rejected(folder: Path, raw: Path, message: str, **options: Any) -> None:
    with pytest.raises(DataError, match=message):
        csv.fetch(Settings(**options), folder, raw)
    assert not (raw / "table.csv").exists()


def test_reads_paths_and_labels_in_the_order_of_the_table(own: Path, raw: Path) -> None:
    source = fetched(write(own, PLAIN), raw)

    assert source.classes == ["cat", "dog"]
    assert source.train.labels.dtype == np.int64
    assert source.train.labels.tolist() == [0, 1, 0, 1]
    assert source.train.paths == [path for path, _ in PLAIN]
    assert source.train.images == [raw / "images" / path for path, _ in PLAIN]
    assert source.train.numbers is not None
    assert source.train.numbers.tolist() == [0, 1, 2, 3]
    assert source.train.groups == []
    assert source.val is source.test is None
    assert (raw / "table.csv").read_bytes() == (own / "images.csv").read_bytes()
    assert all((raw / "images" / path).read_bytes() == (own / path).read_bytes() for path, _ in PLAIN)


def test_columns_may_have_other_names_and_others_are_ignored(own: Path, raw: Path) -> None:
    lines = [(path, "x", "p1" if number < 2 else "p2", label) for number, (path, label) in enumerate(PLAIN)]
    write(own, lines, "file,camera,patient,diagnosis")
    source = fetched(own, raw, path_column="file", label_column="diagnosis", group_column="patient")

    assert source.classes == ["cat", "dog"]
    assert source.train.groups == ["p1", "p1", "p2", "p2"]


def test_keeps_the_named_columns_of_metadata_with_their_rows(own: Path, raw: Path) -> None:
    lines = [
        ("0.png", "x", "B", "", "train"),
        ("1.png", "y", " A ", "01", "train"),
        ("2.png", "x", "B", "1", "test"),
        ("3.png", "y", "C", "NA", "train"),
    ]
    write(own, lines, "path,label,camera,site,split")
    source = fetched(own, raw, split_column="split", metadata=["site", "camera"])

    assert source.train.metadata == {"site": ["", "01", "NA"], "camera": ["B", "A", "C"]}
    assert source.test is not None
    assert source.test.metadata == {"site": ["1"], "camera": ["B"]}
    assert fetched(own, raw, split_column="split").train.metadata == {}


def test_rejects_columns_of_metadata_that_are_missing_or_have_too_many_values(own: Path, raw: Path) -> None:
    write(own, [(f"{number}.png", "xy"[number % 2], str(number)) for number in range(51)], "path,label,age")

    rejected(own, raw, r"has no column site \(download\.dataset\.metadata\), only path, label, age", metadata=["age", "site"])
    message = r"(?s)metadata with too many values \(1\):\n  age: 51 different values\nexpected at most 50 in each.*leave the column out"
    rejected(own, raw, message, metadata=["age"])
    (own / "images.csv").write_text((own / "images.csv").read_text().replace("y,49", "y,1"))
    assert len(set(fetched(own, raw, metadata=["age"]).train.metadata["age"])) == 50


def test_reads_what_a_spreadsheet_writes(own: Path, raw: Path) -> None:
    write(own, PLAIN)
    text = 'path,label\r\n./a/1.png, "cat, big" \r\n"a/2.png","dog"\r\nb/3.png,"cat, big"\r\n4.png,dog\r\n'
    (own / "images.csv").write_bytes(b"\xef\xbb\xbf" + text.replace(' "cat, big" ', '"cat, big"').encode())
    source = fetched(own, raw)

    assert source.classes == ["cat, big", "dog"]
    assert list(source.train.paths) == [path for path, _ in PLAIN]


def test_whole_numbers_are_sorted_by_value(own: Path, raw: Path) -> None:
    write(own, [(f"{number}.png", label) for number, label in enumerate(["10", "9", "2", "10"])])

    assert fetched(own, raw).classes == ["2", "9", "10"]


def test_takes_the_splits_of_a_column(own: Path, raw: Path) -> None:
    splits = ["train", "train", "test", "val", "test", "train"]
    write(own, [(f"{n}.png", "ab"[n % 2], split) for n, split in enumerate(splits)], "path,label,split")
    source = fetched(own, raw, split_column="split")

    assert source.val is not None
    assert source.test is not None
    numbers = [rows.numbers.tolist() for rows in (source.train, source.val, source.test) if rows.numbers is not None]
    assert numbers == [[0, 1, 5], [3], [2, 4]]
    assert source.test.labels.tolist() == [0, 0]
    assert source.test.paths == ["2.png", "4.png"]
    assert not source.numbered_by_split


def test_the_table_is_named_where_there_are_several(own: Path, raw: Path) -> None:
    write(own, PLAIN)
    (own / "other.csv").write_text("x\n")

    rejected(own, raw, r"holds 2 CSV files \(images.csv, other.csv\); expected one table: name it in download.dataset.table")
    assert fetched(own, raw, table="images.csv").classes == ["cat", "dog"]


def test_leaves_unreadable_rows_out_and_keeps_the_numbers_of_the_rest(
    own: Path, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(own, [*PLAIN, ("gone.png", "dog")])
    (own / "a/1.png").write_text("meow")
    (own / "gone.png").unlink()

    rejected(own, raw, r"(?s)2 of 5 files cannot be read as images:\n  a/1.png: not an image.*\n  gone.png: No such file")
    source = fetched(own, raw, skip_unreadable=True)
    assert source.unreadable == 2
    assert source.train.paths == ["a/2.png", "b/3.png", "4.png"]
    assert source.train.numbers is not None
    assert source.train.numbers.tolist() == [1, 2, 3]
    assert "left out 2 of 5 files" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param([("a.png", "x"), ("", "y")], r"lines that lack a value \(1\):\n  line 3: no path", id="no path"),
        pytest.param([("a.png", "x"), ("b.png", " ")], "line 3: no label", id="no label"),
        pytest.param(
            [("../a.png", "x"), ("b.png", "y")], "(?s)leave the folder of the table \\(1\\):\n  line 2: ../a.png", id="above"
        ),
        pytest.param([("b/../../a.png", "x"), ("b.png", "y")], "line 2: b/../../a.png", id="above, in the middle"),
        pytest.param([("/data/a.png", "x"), ("b.png", "y")], "(?s)line 2: /data/a.png.*expected paths below it", id="absolute"),
        pytest.param([("C:/a.png", "x"), ("b.png", "y")], "line 2: C:/a.png", id="a drive"),
        pytest.param([("a.png", "x"), ("./a.png", "y")], "listed more than once \\(1\\):\n  a.png: 2 times", id="twice"),
        pytest.param([("a.png", "x"), ("b.png", "x")], r"holds one class only \(x\)", id="one class"),
        pytest.param([], "has no rows", id="no rows"),
    ],
)
def test_rejects_what_cannot_be_learned_from(own: Path, raw: Path, lines: list[tuple[str, ...]], message: str) -> None:
    rejected(write(own, lines), raw, message)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param(
            [("a.png", "x", "train"), ("b.png", "y", "dev")], "line 3: 'dev'\nexpected one of train, val", id="unknown"
        ),
        pytest.param([("a.png", "x", "train"), ("b.png", "y", "")], "line 3: no split", id="empty"),
        pytest.param([("a.png", "x", "train"), ("b.png", "y", "test")], "no row to train on of class y", id="unseen class"),
    ],
)
def test_rejects_splits_that_cannot_be_used(own: Path, raw: Path, lines: list[tuple[str, ...]], message: str) -> None:
    rejected(write(own, lines, "path,label,split"), raw, message, split_column="split")


def test_names_the_groups_that_are_in_two_splits(own: Path, raw: Path) -> None:
    rows = [
        ("1.png", "x", "p1", "train"),
        ("2.png", "y", "p2", "train"),
        ("3.png", "x", "p1", "test"),
        ("4.png", "y", "p3", "test"),
    ]
    write(own, rows, "path,label,patient,split")

    message = r"groups in more than one split \(1\):\n  p1: in train and test\n"
    rejected(own, raw, message, group_column="patient", split_column="split")


def test_rejects_a_group_that_is_not_stated(own: Path, raw: Path) -> None:
    write(own, [("1.png", "x", "p1"), ("2.png", "y", "")], "path,label,patient")
    rejected(own, raw, "line 3: no group", group_column="patient")


def test_names_the_columns_that_there_are(own: Path, raw: Path) -> None:
    write(own, PLAIN, "file,class")
    rejected(
        own,
        raw,
        r"has no column path \(download\.dataset\.path_column\), label \(download\.dataset\.label_column\), only file, class",
    )


def test_asks_for_the_folder_rather_than_the_table(own: Path, raw: Path) -> None:
    rejected(write(own, PLAIN) / "images.csv", raw, "images.csv is a file; expected the folder that holds the table")
    rejected(own / "nowhere", raw, "nowhere is missing; expected the folder")


def test_rejects_a_table_in_another_encoding(own: Path, raw: Path) -> None:
    write(own, PLAIN)
    (own / "images.csv").write_bytes("path,label\n1.png,Bär\n".encode("latin-1"))
    rejected(own, raw, "is not a CSV table in UTF-8")
