"""The stage as it is run, on digits and on small sets of known content."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.contracts.splits import SPLITS, Arrays, Split, read_dataset, read_split, write_split
from tasks.core.errors import ArtifactError, DataError
from tasks.datasets import digits
from tasks.download import download
from tasks.preprocess import preprocess, split, statistics
from tasks.sources.fetching import MIRROR
from tasks.sources.source import Source

PROJECT = Path(__file__).resolve().parents[2]
SHARED = PROJECT / "../shared/data"


def params(root: Path, dataset: str = "digits", val: float = 0.2, seed: int = 0, path: str = "own.npz") -> Path:
    root.mkdir(exist_ok=True)
    (root / "params.yaml").write_text(
        f"seed: {seed}\ndownload: {{dataset: {dataset}, path: {path}}}\npreprocess: {{val_fraction: {val}, test_fraction: 0.25}}\n"
    )
    return root


def processed(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "data/processed").iterdir())}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, downloaded and preprocessed."""
    root = params(tmp_path_factory.mktemp("digits"))
    download(root)
    preprocess(root)
    return root


def source(counts: list[int], own_test: bool = False) -> Source:
    """Rows of shuffled classes; every image holds its row number."""
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.broadcast_to(np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), 1, 2, 2))
    test: tuple[Any, Any] = (images[:3] + 100, labels[:3]) if own_test else (None, None)
    return Source(images, labels, [f"class {number}" for number in range(len(counts))], "row", *test)


def counts(part: Split | Arrays) -> list[int]:
    found: list[int] = np.bincount(np.asarray(part.labels)).tolist()
    return found


def test_writes_these_files_and_no_others(root: Path) -> None:
    assert list(processed(root)) == ["dataset.json", "test.safetensors", "train.safetensors", "val.safetensors"]


def test_every_row_of_the_digits_is_in_one_split(root: Path) -> None:
    rows = torch.cat([read_split(root, name).rows for name in SPLITS])

    assert rows.sort().values.tolist() == list(range(1797))


def test_row_numbers_lead_back_to_the_pixels_and_labels(root: Path) -> None:
    whole = digits.load(root / "data/raw")

    for name in SPLITS:
        part = read_split(root, name)
        assert part.images.dtype == torch.uint8
        assert np.array_equal(part.images, whole.images[part.rows])
        assert np.array_equal(part.labels, whole.labels[part.rows])
        assert torch.equal(part.rows, part.rows.sort().values)  # the source's order
    assert "counted from 0 in the whole source" in read_dataset(root).rows


def test_describes_the_dataset(root: Path) -> None:
    dataset = read_dataset(root)

    assert dataset.name == "digits"
    assert dataset.shape == (1, 8, 8)
    assert dataset.classes == list("0123456789")
    for name in SPLITS:
        assert dataset.counts[name] == counts(read_split(root, name))


def test_statistics_are_of_train_only(root: Path) -> None:
    dataset, pixels = read_dataset(root), read_split(root, "train").images.numpy() / 255
    everything = torch.cat([read_split(root, name).images for name in SPLITS]).numpy() / 255

    assert dataset.mean == pytest.approx([pixels.mean()], rel=1e-12)
    assert dataset.deviation == pytest.approx([pixels.std()], rel=1e-12)
    assert dataset.mean != pytest.approx([everything.mean()], rel=1e-6)


def test_a_second_run_writes_the_same_bytes(root: Path, tmp_path: Path) -> None:
    params(tmp_path)
    download(tmp_path)
    preprocess(tmp_path)

    assert processed(tmp_path) == processed(root)


def test_another_seed_draws_other_rows(root: Path, tmp_path: Path) -> None:
    params(tmp_path, seed=2**63 - 1)
    download(tmp_path)
    preprocess(tmp_path)

    assert not torch.equal(read_split(tmp_path, "test").rows, read_split(root, "test").rows)
    assert read_dataset(tmp_path).counts == read_dataset(root).counts


def test_without_validation_train_is_the_source_in_its_order(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(9, 3, 4, 5), dtype=np.uint8)
    labels = np.array([2, 0, 1] * 3)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    params(tmp_path, "arrays", val=0)
    download(tmp_path)
    preprocess(tmp_path)

    train, val, test = (read_split(tmp_path, name) for name in SPLITS)
    assert np.array_equal(train.images.numpy(), images)
    assert train.labels.tolist() == labels.tolist()
    assert train.rows.tolist() == list(range(9))
    assert val.images.shape == (0, 3, 4, 5)
    assert val.labels.dtype == val.rows.dtype == torch.int64
    assert len(val) == len(val.rows) == 0
    assert np.array_equal(test.images.numpy(), images[:4])
    assert test.rows.tolist() == [0, 1, 2, 3]
    dataset = read_dataset(tmp_path)
    assert dataset.counts == {"train": [3, 3, 3], "val": [0, 0, 0], "test": [1, 1, 2]}
    assert dataset.shape == (3, 4, 5)
    assert dataset.mean == pytest.approx((images / 255).mean(axis=(0, 2, 3)).tolist(), rel=1e-12)
    assert dataset.deviation == pytest.approx((images / 255).std(axis=(0, 2, 3)).tolist(), rel=1e-12)
    assert "in its test split (test)" in dataset.rows


def test_digits_are_split_without_torch(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tasks.download import download; from tasks.preprocess import preprocess; "
        "root = pathlib.Path(sys.argv[1]); download(root); preprocess(root); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(params(tmp_path))]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout

    assert printed == "False\n"
    assert processed(tmp_path) == processed(root)


def test_tensors_and_arrays_of_any_layout_are_written_as_the_same_bytes(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(2, 3, 5, 4), dtype=np.uint8).transpose(0, 1, 3, 2)
    labels, rows = np.array([1, 0, 1, 0])[::2], np.array([3, 9])
    write_split(tmp_path, "train", Arrays(images, labels, rows))
    write_split(tmp_path, "val", Split(torch.tensor(images), torch.tensor(labels.copy()), torch.tensor(rows)))
    written = processed(tmp_path)

    assert written["train.safetensors"] == written["val.safetensors"]
    assert np.array_equal(read_split(tmp_path, "train").images, images)


def test_statistics_count_every_image() -> None:
    images = np.random.default_rng(0).integers(256, size=(2500, 2, 2, 2), dtype=np.uint8)

    mean, deviation = statistics(images)

    assert mean == pytest.approx((images / 255).mean(axis=(0, 2, 3)).tolist(), rel=1e-12)
    assert deviation == pytest.approx((images / 255).std(axis=(0, 2, 3)).tolist(), rel=1e-12)


def test_shares_are_kept_in_every_class() -> None:
    parts = split(source([100, 40, 9]), val_fraction=0.2, test_fraction=0.25, seed=0)

    assert counts(parts["test"]) == [25, 10, 2]
    assert counts(parts["val"]) == [15, 6, 1]
    assert counts(parts["train"]) == [60, 24, 6]


def test_a_small_class_keeps_a_row_on_every_side() -> None:
    parts = split(source([30, 3]), val_fraction=0.1, test_fraction=0.1, seed=0)

    assert [counts(parts[name])[1] for name in SPLITS] == [1, 1, 1]


def test_the_sources_own_test_stays_whole() -> None:
    own = source([20, 20], own_test=True)
    parts = split(own, val_fraction=0.5, test_fraction=0.9, seed=0)

    assert len(parts["train"].rows) == len(parts["val"].rows) == 20
    assert parts["test"].images[:, 0, 0, 0].tolist() == [100, 101, 102]
    assert parts["test"].rows.tolist() == [0, 1, 2]


def test_the_share_of_validation_does_not_move_the_test() -> None:
    small, large = (split(source([50, 50]), val_fraction, 0.25, seed=3)["test"].rows for val_fraction in (0, 0.5))

    assert np.array_equal(small, large)


def test_rejects_a_class_too_small_to_be_tested() -> None:
    with pytest.raises(
        DataError, match=r"class 'class 1' has too few rows to divide between train and test: 1; expected 2 or more"
    ):
        split(source([20, 1]), val_fraction=0, test_fraction=0.25, seed=0)


def test_rejects_a_class_too_small_to_be_validated() -> None:
    with pytest.raises(DataError, match=r"class 'class 1' .* train and val: 1; .*set preprocess\.val_fraction to 0"):
        split(source([20, 2]), val_fraction=0.2, test_fraction=0.25, seed=0)


def test_a_constant_channel_has_deviation_one() -> None:
    images = np.full((3, 2, 4, 4), 51, dtype=np.uint8)
    images[0, 1] = 0

    mean, deviation = statistics(images)

    assert mean == [0.2, pytest.approx(2 / 15)]
    assert deviation == [1.0, pytest.approx(0.2 * 2**0.5 / 3)]


def test_rejects_missing_data(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"data/raw is missing; .*dvc repro download"):
        preprocess(params(tmp_path))


def test_rejects_the_data_of_another_dataset(root: Path, tmp_path: Path) -> None:
    params(tmp_path, "digits")
    download(tmp_path)
    params(tmp_path, "arrays")

    with pytest.raises(DataError, match=r"arrays\.npz is missing"):
        preprocess(tmp_path)
    assert not (tmp_path / "data/processed").exists()


@pytest.mark.mnist
@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="the MNIST files do not lie beside the project")
def test_mnist_without_validation_is_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, SHARED.resolve().as_uri())
    params(tmp_path, "mnist", val=0)
    download(tmp_path)
    preprocess(tmp_path)

    train, test, dataset = read_split(tmp_path, "train"), read_split(tmp_path, "test"), read_dataset(tmp_path)
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert dataset.counts["train"] == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    # The figures that every MNIST tutorial normalises with.
    assert dataset.mean == [pytest.approx(0.1307, abs=5e-5)]
    assert dataset.deviation == [pytest.approx(0.3081, abs=5e-5)]
