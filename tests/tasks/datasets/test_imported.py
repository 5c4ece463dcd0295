"""The dataset `imported`: any torch Dataset of an installed distribution, read once into arrays."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from tasks.core.components import Component
from tasks.core.errors import ArtifactError, DataError, ParamsError
from tasks.sources.source import Source

DATASETS = Component("tasks.datasets")
FAKE = {
    "import": "torchvision.datasets:FakeData",
    "options": {"image_size": [3, 5, 4], "num_classes": 3},
    "train": {"size": 30},
    "test": {"size": 9, "random_offset": 1},
    "arguments": {},
}


def read(raw: Path, stated: dict[str, Any], path: Path = Path("unused")) -> Source:
    choice = DATASETS.choose({"name": "imported", **stated})
    choice.module.fetch(choice.settings, path, raw)
    source: Source = choice.module.load(choice.settings, raw)
    return source


def test_both_splits_of_a_dataset_of_torchvision_are_read_as_it_gives_them(tmp_path: Path) -> None:
    from torchvision.datasets import FakeData

    source = read(tmp_path, FAKE)
    assert source.classes == ["0", "1", "2"]
    assert source.test is not None
    for rows, theirs in (
        (source.train, FakeData(30, (3, 5, 4), 3)),
        (source.test, FakeData(9, (3, 5, 4), 3, random_offset=1)),
    ):
        images = np.stack([np.asarray(image) for image, _ in theirs]).transpose(0, 3, 1, 2)
        assert np.array_equal(np.asarray(rows.images), images)
        assert rows.labels.tolist() == [int(label) for _, label in theirs]


def test_a_dataset_is_handed_the_users_path_and_states_its_classes(tmp_path: Path) -> None:
    for index, name in enumerate(("ant", "bee")):
        for number in range(3):
            (tmp_path / f"own/{name}").mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 6), (index, number, 0)).save(tmp_path / f"own/{name}/{number}.png")
    (tmp_path / "raw").mkdir()
    stated = {"import": "torchvision.datasets:ImageFolder", "train": {}, "test": None, "arguments": {"root": "path"}}
    source = read(tmp_path / "raw", stated, tmp_path / "own")
    assert (source.classes, source.test) == (["ant", "bee"], None)
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.asarray(source.train.images)[:, :2, 0, 0].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


class Listed(Dataset[Any]):
    """The examples that a test states."""

    examples: list[Any] = []  # noqa: RUF012 - set by each test

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> type[Listed]:
    """`Listed` as an object of an installed distribution: a module under torchvision's name."""
    module = ModuleType("torchvision.listed")
    monkeypatch.setattr(module, "Listed", Listed, raising=False)
    monkeypatch.setitem(sys.modules, "torchvision.listed", module)
    monkeypatch.setattr(Listed, "examples", [])
    return Listed


OF_LISTED: dict[str, Any] = {"import": "torchvision.listed:Listed", "train": {}, "test": None, "arguments": {}}
GREY = np.arange(6, dtype=np.uint8).reshape(2, 3)


def test_images_may_be_pictures_arrays_or_tensors(listed: type[Listed], tmp_path: Path) -> None:
    same = [Image.fromarray(GREY), GREY, GREY[..., None], torch.from_numpy(GREY), torch.from_numpy(GREY[None])]
    listed.examples = [(image, torch.tensor(number % 2)) for number, image in enumerate(same)]
    source = read(tmp_path, OF_LISTED)
    assert np.array_equal(np.asarray(source.train.images), np.broadcast_to(GREY, (5, 1, 2, 3)))
    assert source.train.labels.tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "train has no examples that can be counted"),
        ([GREY], "example 0 of train is ndarray; expected a pair"),
        ([(GREY, 0), (GREY, "bee")], "example 1 of train has the label 'bee'; expected a class number"),
        ([(GREY, 0), (GREY, 0.5)], "example 1 of train has the label 0.5"),
        ([(GREY, -1)], "has the label -1"),
        ([(GREY, 0), (GREY[:1], 1)], r"example 1 of train is (1, 1, 3) (C, H, W), the first (1, 2, 3)"),
        ([(GREY.astype(np.float32), 0)], "example 0 of train is ndarray float32 (2, 3); expected a PIL image"),
        ([(np.zeros((2, 2, 4), np.uint8), 0)], "has 4 channels; expected 1 or 3"),
        ([(Image.new("RGBA", (2, 2)), 0)], "is an image of mode RGBA; expected L or RGB"),
        ([(GREY, 0), (GREY, 0)], "train has the one class '0'; expected two classes or more"),
        ([(GREY, 0), (GREY, 2)], "train has no example of class '1'"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    listed: type[Listed], tmp_path: Path, examples: list[Any], message: str
) -> None:
    listed.examples = examples
    with pytest.raises(DataError) as error:
        read(tmp_path, OF_LISTED)
    assert message in str(error.value)


def test_a_test_split_with_a_class_that_train_has_not_is_refused(tmp_path: Path) -> None:
    stated = {**FAKE, "options": {"image_size": [3, 5, 4]}, "train": {"size": 90, "num_classes": 2}, "test": {"num_classes": 9}}
    with pytest.raises(DataError, match=r"of test has label \d; expected 0\.\.1"):
        read(tmp_path, stated)


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"is the class .*Linear; expected a class derived from torch\.utils\.data"):
        read(tmp_path, {"import": "torch.nn:Linear"})
    with pytest.raises(ParamsError, match=r"failed with size=30: .*|failed with .*size=30.*TypeError"):
        read(tmp_path, {**FAKE, "options": {"colour": "red"}})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    read(tmp_path, FAKE)
    (tmp_path / "test-labels.npy").unlink()
    choice = DATASETS.choose({"name": "imported", **FAKE})
    with pytest.raises(ArtifactError, match=r"test-labels\.npy"):
        choice.module.load(choice.settings, tmp_path)
