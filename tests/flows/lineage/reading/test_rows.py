"""Which rows of the source trained the model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from flows.lineage.reading.rows import FILES, rows
from tasks.core.errors import GoodfitError
from tests.conftest import Project
from tests.flows.lineage.world import World, lock_text, stage

NUMBERS = {"train": [0, 3, 5], "val": [1], "test": [2, 4]}
NAMES = "split,row,path,group\n" + "".join(
    f"{split},{row},{'cats' if row % 2 else 'dogs'}/{row}.png,\n" for split, numbers in NUMBERS.items() for row in numbers
)


def split_file(numbers: list[int]) -> bytes:
    n, own = len(numbers), np.array(numbers, np.int64)
    content: bytes = save({"images": np.zeros((n, 1, 2, 2), np.uint8), "labels": np.zeros(n, np.int64), "rows": own})
    return content


def recorded(world: World, numbers: dict[str, list[int]] | None = None, names: str = NAMES) -> dict[str, dict[str, Any]]:
    """The entries of preprocess and train, what they wrote in DVC's cache."""
    written = {FILES[split]: world.store(split_file(rows)) for split, rows in (numbers or NUMBERS).items()}
    dataset = {"name": "image_folder", "classes": ["cats", "dogs"], "shape": [1, 2, 2], "counts": {}, "mean": [0.5]}
    words = {"deviation": [1.0], "rows": "file, counted from 0 in the whole source"}
    described = world.cache(json.dumps(dataset | words))
    tables = {"data/processed/dataset.json": described, "data/processed/rows.csv": world.cache(names)}
    read = {path: written[path] for path in (FILES["train"], FILES["val"])}
    return {"preprocess": stage("preprocess", outs=written | tables), "train": stage("train", deps=read)}


def asked(world: World, *options: str) -> tuple[int, str]:
    done = world.goodfit("lineage", "rows", *options, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_exit_code_says_whether_a_row_was_trained_on(world: World) -> None:
    world.commit(lock_text(**recorded(world)))
    assert asked(world, "--row", "3") == (0, "row 3 (cats/3.png) was in train, which trained the model\n")
    assert asked(world, "--row", "1") == (1, "row 1 (cats/1.png) was in val, which chose its epoch\n")
    assert asked(world, "--row", "4") == (1, "row 4 (dogs/4.png) was in test, which measured it\n")
    assert asked(world, "--row", "99") == (1, "row 99 is in no split of the working tree\n")


def test_a_file_is_found_by_its_path_by_the_end_of_it_and_by_a_longer_one(world: World) -> None:
    world.commit(lock_text(**recorded(world)))
    for name in ("dogs/0.png", "0.png", "./dogs/0.png", "data/source/dogs/0.png"):
        assert asked(world, "--file", name) == (0, "row 0 (dogs/0.png) was in train, which trained the model\n")
    assert asked(world, "--file", "og/0.png") == (1, "og/0.png is in no split of the working tree\n")


def test_without_files_the_rows_are_numbers_alone(world: World) -> None:
    world.commit(lock_text(**recorded(world, names="split,row,path,group\n")))
    assert asked(world, "--row", "5") == (0, "row 5 was in train, which trained the model\n")
    code, said = asked(world, "--file", "a.png")
    assert code == 2
    assert "has no files, only rows (file, counted from 0 in the whole source): ask for one with --row" in said


def test_all_rows_of_any_revision_and_as_a_table(world: World) -> None:
    first = world.commit(lock_text(**recorded(world)))
    world.commit(lock_text(**recorded(world, {"train": [7], "val": [], "test": [8]}, "split,row,path,group\n")))
    assert rows(world.root).to_dict("list") == {"split": ["train", "test"], "row": [7, 8], "path": ["", ""], "group": ["", ""]}
    assert list(rows(world.root, first)["path"])[:2] == ["dogs/0.png", "cats/3.png"]
    found = json.loads(asked(world, "--json", "--rev", first)[1])
    assert found["splits"] == NUMBERS
    code, said = asked(world, "--rev", first)
    assert (code, said.splitlines()[2].split()[:4]) == (0, ["train", "3", "50.0", "%"])
    assert json.loads(asked(world, "--json", "--row", "7")[1])["trained"] is True


def test_says_what_is_missing(world: World) -> None:
    assert "records no training" in asked(world)[1]
    entries = recorded(world)
    world.commit(lock_text(**entries))
    assert "there is no revision 'v9'" in asked(world, "--rev", "v9")[1]
    train_md5 = entries["train"]["deps"][0]["md5"]
    (world.root / ".dvc/cache/files/md5" / train_md5[:2] / train_md5[2:]).unlink()
    code, said = asked(world, "--row", "3")
    assert code == 2
    assert f"{FILES['train']} with the MD5 {train_md5} is not in DVC's cache: `dvc fetch --all-commits`" in said
    entries["train"]["deps"][0]["md5"] = "0" * 32
    world.write(lock_text(**entries))
    with pytest.raises(GoodfitError, match="than the stage preprocess has written since"):
        rows(world.root)


@pytest.mark.slow
def test_real_rows_are_those_that_preprocess_wrote(ran: Project) -> None:
    table = rows(ran.root)
    for split, path in FILES.items():
        with safe_open(ran.root / path, framework="np") as tensors:
            assert list(table["row"][table["split"] == split]) == list(tensors.get_tensor("rows"))
    assert sorted(table["row"]) == list(range(1797))
    row = int(table["row"][table["split"] == "train"].iloc[0])
    assert ran.run("python", "-m", "flows.cli", "lineage", "rows", "--row", str(row)).stdout == (
        f"row {row} was in train, which trained the model\n"
    )
    assert isinstance(table, pd.DataFrame)
    assert Path(ran.root / "data/processed/rows.csv").read_text() == "split,row,path,group\n"


@pytest.mark.parametrize("name", [FILES["train"], "data/processed/dataset.json", "data/processed/rows.csv"])
def test_a_damaged_object_is_no_answer(world: World, name: str) -> None:
    """1 would say that the row was not trained on."""
    entries = recorded(world)
    world.commit(lock_text(**entries))
    (md5,) = (out["md5"] for out in entries["preprocess"]["outs"] if out["path"] == name)
    file = world.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    file.write_bytes(file.read_bytes()[:-9])
    code, said = asked(world, "--row", "3")
    assert code == 2
    assert f"DVC's cache has a damaged copy of {name}" in said
    assert "Traceback" not in said


def test_a_file_of_another_kind_is_no_answer(world: World) -> None:
    entries = recorded(world)
    for out in entries["preprocess"]["outs"]:
        if out["path"] == "data/processed/dataset.json":
            out["md5"] = world.cache("[]")
    world.commit(lock_text(**entries))
    code, said = asked(world, "--row", "3")
    assert (code, "is not as preprocess writes it (1 validation error for Dataset)" in said) == (2, True)
