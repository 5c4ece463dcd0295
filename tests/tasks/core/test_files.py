"""Files that appear whole or not at all, and damaged ones that name the stage to run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.contracts import compressed, findings, results, splits, trained
from tasks.core.errors import ArtifactError
from tasks.core.files import read_json, whole, write_json
from tasks.core.tensors import map_tensors, read_tensors, write_tensors


def test_a_file_appears_only_when_its_writer_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.txt"

    def fail_halfway() -> None:
        with whole(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert list(path.parent.iterdir()) == []
    with whole(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def test_what_a_kill_left_is_overwritten_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / ".model.json.partial").write_text("left by a kill")
    write_json(tmp_path / "model.json", {})
    assert [file.name for file in tmp_path.iterdir()] == ["model.json"]


def test_json_refuses_what_is_not_a_number_and_reads_floats_back_exactly(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not (tmp_path / "a.json").exists()
    write_json(tmp_path / "a.json", [0.1 + 0.2])
    assert read_json(tmp_path / "a.json", "train") == [0.1 + 0.2]


def test_tensors_and_arrays_of_any_layout_write_the_same_bytes(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    write_tensors(tmp_path / "array", {"x": array.T})
    write_tensors(tmp_path / "tensor", {"x": torch.from_numpy(array).t()})
    assert (tmp_path / "array").read_bytes() == (tmp_path / "tensor").read_bytes()
    assert torch.equal(read_tensors(tmp_path / "array", "train")["x"], torch.from_numpy(array).t())


READERS: list[tuple[Path, str, Callable[[Path], Any]]] = [
    (splits.FOLDER / "dataset.json", "preprocess", splits.read_dataset),
    (splits.FOLDER / "train.safetensors", "preprocess", lambda root: splits.read_split(root, "train")),
    (trained.MODEL, "train", trained.read_description),
    (trained.HISTORY, "train", trained.read_history),
    (trained.DYNAMICS, "train", trained.read_dynamics),
    (compressed.MANIFEST, "compress", compressed.read_manifest),
    (compressed.COMPRESSION, "compress", compressed.read_compression),
    (findings.DIAGNOSIS, "diagnose", findings.read_diagnosis),
    (results.PREDICTIONS, "evaluate", lambda root: results.read_table(root, results.PREDICTIONS, "evaluate")),
    (results.PER_CLASS, "evaluate", lambda root: results.read_table(root, results.PER_CLASS, "evaluate")),
]


@pytest.mark.parametrize(("path", "stage", "read"), READERS, ids=lambda value: str(value) if isinstance(value, Path) else "")
@pytest.mark.parametrize("content", [None, "", "{}"], ids=["missing", "empty", "other"])
def test_a_missing_or_damaged_file_names_the_stage_to_run(
    tmp_path: Path, path: Path, stage: str, read: Callable[[Path], Any], content: str | None
) -> None:
    content = "" if content and path.suffix == ".csv" else content  # to CSV, {} is the name of a column
    if content is not None:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(content)
    with pytest.raises(ArtifactError, match=f"{path.name} .*run the stage '{stage}' again"):
        read(tmp_path)


def test_a_tensor_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / splits.FOLDER / "val.safetensors", {"images": np.zeros(1)})
    with pytest.raises(ArtifactError, match="is not what stage 'preprocess' writes"):
        splits.read_split(tmp_path, "val")


def test_mapped_tensors_are_those_that_were_written(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3)
    write_tensors(tmp_path / "some", {"images": images, "labels": np.array([3, -1, 2**40, 0])})
    write_tensors(tmp_path / "none", {"images": images[:0], "labels": np.zeros(0, dtype=np.int64)})
    for name in ("some", "none"):
        mapped, read = map_tensors(tmp_path / name, "train"), read_tensors(tmp_path / name, "train")
        assert mapped.keys() == read.keys()
        for key, tensor in read.items():
            assert mapped[key].dtype == tensor.dtype
            assert torch.equal(mapped[key], tensor)
