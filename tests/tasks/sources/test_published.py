"""Each published layout in small: real archives with known pixels, through torchvision's own readers."""

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import scipy.io
from torchvision import datasets

from tasks.core.components import Component
from tasks.core.errors import ArtifactError
from tasks.sources.fetching import md5_of
from tasks.sources.published import KINDS, SetName, load, published
from tasks.sources.source import Source

RNG = np.random.default_rng(0)
GREY = {"train": RNG.integers(256, size=(4, 6, 5), dtype=np.uint8), "test": RNG.integers(256, size=(2, 6, 5), dtype=np.uint8)}
COLOUR = {split: RNG.integers(256, size=(n, 3, 32, 32), dtype=np.uint8) for split, n in (("train", 4), ("test", 2))}
LABELS = {"train": [3, 0, 2, 1], "test": [1, 3]}


def idx(array: "np.ndarray[Any, Any]") -> bytes:
    """The IDX format, gzipped: two zeros, type (8: uint8, 12: int32), number of axes, their lengths, values; big-endian."""
    kind = {"u": 8, "i": 12}[array.dtype.kind]
    return gzip.compress(bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes())


def tar_gz(path: Path, folder: str, members: dict[str, Any]) -> dict[str, str]:
    """Pickled `members` under `folder`, as CIFAR is published; gives their MD5."""
    sums = {}
    with tarfile.open(path, "w:gz") as archive:
        for name, value in members.items():
            content = pickle.dumps(value)
            (path.parent / name).write_bytes(content)
            sums[name] = md5_of(path.parent / name)
            (path.parent / name).unlink()
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return sums


def check(source: Source, pixels: "dict[str, np.ndarray[Any, Any]]") -> None:
    assert source.test is not None
    assert source.val is None
    for split, rows in (("train", source.train), ("test", source.test)):
        assert not isinstance(rows.images, Sequence)
        assert rows.images.dtype == np.uint8
        assert rows.labels.dtype == np.int64
        assert np.array_equal(rows.images, pixels[split])
        assert rows.labels.tolist() == LABELS[split]


GREY_NCHW = {split: images[:, None] for split, images in GREY.items()}


def write_mnist(raw: Path, kind: Any) -> list[tuple[str, str]]:
    for split, prefix in (("train", "train"), ("test", "t10k")):
        (raw / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(GREY[split]))
        (raw / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx(np.array(LABELS[split], np.uint8)))
    return [(name, md5_of(raw / name)) for name, _ in kind.resources]


@pytest.mark.parametrize(("name", "first"), [("mnist", "0"), ("fashion_mnist", "T-shirt/top"), ("kmnist", "o")])
def test_reads_the_mnist_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: SetName, first: str) -> None:
    kind = getattr(datasets, KINDS[name])
    monkeypatch.setattr(kind, "resources", write_mnist(tmp_path, kind))

    source = load(name, tmp_path)

    check(source, GREY_NCHW)
    assert len(source.classes) == 10
    assert source.classes[0] == first


def test_reads_the_balanced_split_of_emnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "gzip.zip", "w") as archive:
        for split in ("train", "test"):
            archive.writestr(f"gzip/emnist-balanced-{split}-images-idx3-ubyte.gz", idx(GREY[split]))
            archive.writestr(f"gzip/emnist-balanced-{split}-labels-idx1-ubyte.gz", idx(np.array(LABELS[split], np.uint8)))
    monkeypatch.setattr(datasets.EMNIST, "md5", md5_of(tmp_path / "gzip.zip"))

    source = load("emnist", tmp_path)

    check(source, GREY_NCHW)
    assert source.classes == list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")


def test_takes_the_class_out_of_qmnists_label_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "test"):
        rows = np.full((len(LABELS[split]), 8), 99, ">i4")
        rows[:, 0] = LABELS[split]
        (tmp_path / f"qmnist-{split}-images-idx3-ubyte.gz").write_bytes(idx(GREY[split]))
        (tmp_path / f"qmnist-{split}-labels-idx2-int.gz").write_bytes(idx(rows))
    resources = {
        split: [(url, md5_of(tmp_path / url.rsplit("/", 1)[-1])) for url, _ in datasets.QMNIST.resources[split]]
        for split in ("train", "test")
    }
    monkeypatch.setattr(datasets.QMNIST, "resources", resources)

    source = load("qmnist", tmp_path)

    check(source, GREY_NCHW)
    assert source.classes == list("0123456789")


@pytest.mark.parametrize(("name", "labels"), [("cifar10", "labels"), ("cifar100", "fine_labels")])
def test_reads_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: SetName, labels: str) -> None:
    kind = getattr(datasets, KINDS[name])
    members = {split: {"data": COLOUR[split].reshape(-1, 3072), labels: LABELS[split]} for split in ("train", "test")} | {
        "meta": {"names": ["plane", "car", "bird", "cat"]}
    }
    sums = tar_gz(tmp_path / kind.filename, kind.base_folder, members)
    monkeypatch.setattr(kind, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(kind, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(kind, "meta", {"filename": "meta", "key": "names", "md5": sums["meta"]})
    monkeypatch.setattr(kind, "tgz_md5", md5_of(tmp_path / kind.filename))

    source = load(name, tmp_path)

    check(source, COLOUR)
    assert source.classes == ["plane", "car", "bird", "cat"]


def test_reads_svhn_whose_zero_is_published_as_ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {}
    for split in ("train", "test"):
        path = tmp_path / f"{split}_32x32.mat"
        digits = np.array([label or 10 for label in LABELS[split]], np.uint8)[:, None]
        scipy.io.savemat(path, {"X": COLOUR[split].transpose(2, 3, 1, 0), "y": digits})
        listed[split] = ["unused", path.name, md5_of(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)

    source = load("svhn", tmp_path)

    check(source, COLOUR)
    assert source.classes == list("0123456789")


def test_rejects_changed_bytes_before_torchvision_turns_to_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.MNIST, "resources", write_mnist(tmp_path, datasets.MNIST))
    monkeypatch.setattr(datasets.MNIST, "download", lambda _: pytest.fail("torchvision was asked to download"))
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(ArtifactError, match=r"t10k-labels-idx1-ubyte\.gz has md5 "):
        load("mnist", tmp_path)


@pytest.mark.parametrize("name", get_args(SetName))
def test_states_an_address_and_a_checksum_for_each_file(name: SetName) -> None:
    files = published(name)

    assert (
        len({file.name for file in files}) == len(files) == {"emnist": 1, "cifar10": 1, "cifar100": 1, "svhn": 2}.get(name, 4)
    )
    for file in files:
        assert len(file.md5) == 32
        assert file.urls
        assert all(url.startswith(("http://", "https://")) and url.endswith("/" + file.name) for url in file.urls)


def test_every_published_set_is_a_dataset() -> None:
    assert set(get_args(SetName)) <= set(Component("tasks.datasets").names())
