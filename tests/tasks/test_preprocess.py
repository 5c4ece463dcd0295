"""The stage as it is run, on digits and on small sets of known content."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tasks.contracts.splits import (
    SPLITS,
    Arrays,
    Split,
    SplitName,
    read_dataset,
    read_metadata,
    read_rows,
    read_split,
    stream_split,
    write_split,
)
from tasks.core.errors import ArtifactError, DataError, ParamsError
from tasks.core.settings import validate
from tasks.datasets import digits
from tasks.download import Params as DownloadParams
from tasks.download import download
from tasks.preprocess import Params, counting, moments, preprocess
from tasks.sources.fetching import MIRROR

PROJECT = Path(__file__).resolve().parents[2]
SHARED = PROJECT / "../shared/data"


def params(
    dataset: str = "digits",
    val: float = 0.2,
    seed: int = 0,
    image: Any = None,
    study: dict[str, float] | None = None,
    **options: Any,
) -> Params:
    chosen = {"dataset": {"name": dataset, **options}}
    section = {"val_fraction": val, "test_fraction": 0.25} | ({"image": image} if image else {}) | (study or {})
    return validate(Params, {"seed": seed, "download": chosen, "preprocess": section})


def prepare(root: Path, dataset: str = "digits", path: str = "own.npz", **more: Any) -> None:
    """Both stages, as they are run."""
    chosen = params(dataset, **more)
    download(validate(DownloadParams, {"download": {"dataset": chosen.download.dataset.resolved(), "path": path}}), root)
    preprocess(chosen, root)


def processed(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "data/processed").iterdir())}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, downloaded and preprocessed."""
    root = tmp_path_factory.mktemp("digits")
    prepare(root)
    return root


def counts(part: Split | Arrays) -> list[int]:
    found: list[int] = np.bincount(np.asarray(part.labels)).tolist()
    return found


def test_writes_these_files_and_no_others(root: Path) -> None:
    assert list(processed(root)) == ["dataset.json", "rows.csv", "test.safetensors", "train.safetensors", "val.safetensors"]


def test_a_study_changes_the_training_rows_alone_and_says_so(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path, study={"fraction": 0.5, "label_noise": 0.1})
    whole, part = read_split(root, "train"), read_split(tmp_path, "train")
    assert len(part) == pytest.approx(len(whole) / 2, abs=5)
    true = dict(zip(whole.rows.tolist(), whole.labels.tolist(), strict=True))
    wrong = sum(true[row] != label for row, label in zip(part.rows.tolist(), part.labels.tolist(), strict=True))
    assert wrong == round(0.1 * len(part)) == read_dataset(tmp_path).wrong_labels
    assert read_dataset(tmp_path).counts["train"] == counts(part)
    printed = capsys.readouterr().out
    assert f"{len(part)} of {len(whole)} training rows are used (preprocess.fraction)" in printed
    assert f"{wrong} of {len(part)} training labels are replaced by another class (preprocess.label_noise)" in printed
    for name in ("val", "test"):
        assert processed(tmp_path)[f"{name}.safetensors"] == processed(root)[f"{name}.safetensors"]
    assert "wrong_labels" not in processed(root)["dataset.json"].decode()


def test_every_row_of_the_digits_is_in_one_split(root: Path) -> None:
    rows = torch.cat([read_split(root, name).rows for name in SPLITS])

    assert rows.sort().values.tolist() == list(range(1797))


def test_row_numbers_lead_back_to_the_pixels_and_labels(root: Path) -> None:
    whole = digits.load(digits.Settings(), root / "data/raw").train
    assert isinstance(whole.images, np.ndarray)

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
    prepare(tmp_path)

    assert processed(tmp_path) == processed(root)


def test_another_seed_draws_other_rows(root: Path, tmp_path: Path) -> None:
    prepare(tmp_path, seed=2**63 - 1)

    assert not torch.equal(read_split(tmp_path, "test").rows, read_split(root, "test").rows)
    assert read_dataset(tmp_path).counts == read_dataset(root).counts


def test_without_validation_train_is_the_source_in_its_order(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(9, 3, 4, 5), dtype=np.uint8)
    labels = np.array([2, 0, 1] * 3)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    prepare(tmp_path, "arrays", val=0)

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


def test_digits_are_split_without_torch_or_pillow(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tasks.download import Params as D, download; from tasks.preprocess import Params, preprocess; "
        "root = pathlib.Path(sys.argv[1]); chosen = {'dataset': {'name': 'digits'}}; "
        "download(D.model_validate({'download': {**chosen, 'path': 'x'}}), root); "
        "section = {'val_fraction': 0.2, 'test_fraction': 0.25}; "
        "preprocess(Params.model_validate({'seed': 0, 'download': chosen, 'preprocess': section}), root); "
        "print({'torch', 'PIL', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout

    assert printed == "set()\n"
    assert processed(tmp_path) == processed(root)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_streamed_splits_are_the_bytes_of_a_whole_one(tmp_path: Path, n: int) -> None:
    images = np.random.default_rng(0).integers(256, size=(n, 3, 5, 4), dtype=np.uint8)
    labels, rows = np.arange(n) % 3, np.arange(n) * 5
    batches = (images[start : start + 3].transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) for start in range(0, n, 3))
    write_split(tmp_path, "train", Arrays(images, labels, rows))
    stream_split(tmp_path, "val", shape=(3, 5, 4), batches=batches, labels=labels, rows=rows)

    assert processed(tmp_path)["val.safetensors"] == processed(tmp_path)["train.safetensors"]


def test_tensors_and_arrays_of_any_layout_are_written_as_the_same_bytes(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(2, 3, 5, 4), dtype=np.uint8).transpose(0, 1, 3, 2)
    labels, rows = np.array([1, 0, 1, 0])[::2], np.array([3, 9])
    write_split(tmp_path, "train", Arrays(images, labels, rows))
    write_split(tmp_path, "val", Split(torch.tensor(images), torch.tensor(labels.copy()), torch.tensor(rows)))
    written = processed(tmp_path)

    assert written["train.safetensors"] == written["val.safetensors"]
    assert np.array_equal(read_split(tmp_path, "train").images, images)


def statistics(images: "np.ndarray[Any, Any]") -> tuple[list[float], list[float]]:
    histogram = np.zeros((images.shape[1], 256), dtype=np.int64)
    batches = list(counting(np.array_split(images, 3), histogram))
    assert np.array_equal(np.concatenate(batches), images)
    return moments(histogram)


def test_statistics_count_every_image() -> None:
    images = np.random.default_rng(0).integers(256, size=(2500, 2, 2, 2), dtype=np.uint8)

    mean, deviation = statistics(images)

    assert mean == pytest.approx((images / 255).mean(axis=(0, 2, 3)).tolist(), rel=1e-12)
    assert deviation == pytest.approx((images / 255).std(axis=(0, 2, 3)).tolist(), rel=1e-12)


def test_a_constant_channel_has_deviation_one() -> None:
    images = np.full((3, 2, 4, 4), 51, dtype=np.uint8)
    images[0, 1] = 0

    mean, deviation = statistics(images)

    assert mean == [0.2, pytest.approx(2 / 15)]
    assert deviation == [1.0, pytest.approx(0.2 * 2**0.5 / 3)]


def test_rejects_missing_data(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"data/raw is missing; .*run the stage 'download' again"):
        preprocess(params(), tmp_path)


def test_rejects_the_data_of_another_dataset(root: Path, tmp_path: Path) -> None:
    prepare(tmp_path)

    with pytest.raises(DataError, match=r"arrays\.npz is missing"):
        preprocess(params("arrays"), tmp_path)


def photos(folder: Path) -> dict[str, Image.Image]:
    """Images of many modes and sizes in two classes, bright and dark; one lies on its side."""
    made = {}
    for number in range(24):
        bright = number % 2
        mode = ["L", "RGB", "RGBA", "P", "CMYK", "1"][number // 2 % 6]
        level = 255 * bright
        image = Image.new("RGB", (20 + number, 30), (level, level, level)).convert(mode)
        name = f"{'bright' if bright else 'dark'}/{number:02}.{'tiff' if mode == 'CMYK' else 'png'}"
        exif = Image.Exif()
        if number == 1:
            exif[0x0112] = 6
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, exif=exif)
        made[name] = image
    return made


def test_images_of_any_size_and_mode_become_one_form(tmp_path: Path) -> None:
    photos(tmp_path / "own")
    prepare(tmp_path, "image_folder", "own", image={"size": [6, 8], "resize": "stretch", "channels": 1})

    dataset, rows = read_dataset(tmp_path), read_rows(tmp_path)
    assert dataset.shape == (1, 6, 8)
    assert dataset.classes == ["bright", "dark"]
    for name in SPLITS:
        part = read_split(tmp_path, name)
        assert part.images.shape[1:] == (1, 6, 8)
        assert (part.images.float().mean(dim=(1, 2, 3)) < 128).long().tolist() == part.labels.tolist()
        mine = rows[rows["split"] == name]
        assert mine["row"].tolist() == part.rows.tolist()
        assert [path.split("/")[0] == "dark" for path in mine["path"]] == (part.labels == 1).tolist()
    assert sorted(rows["path"]) == sorted(
        path.relative_to(tmp_path / "own").as_posix() for path in (tmp_path / "own").rglob("*.*")
    )
    assert set(rows["group"]) == {""}


def test_draws_the_test_split_of_arrays_that_have_none(tmp_path: Path) -> None:
    images = np.arange(40 * 16, dtype=np.uint16).astype(np.uint8).reshape(40, 4, 4)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=np.arange(40) % 2)
    prepare(tmp_path, "arrays", "own.npz")

    drawn = [read_split(tmp_path, name).rows.tolist() for name in ("train", "val", "test")]
    assert all(drawn)
    assert sorted(row for rows in drawn for row in rows) == list(range(40))


def test_sizes_that_differ_need_one_that_is_stated(tmp_path: Path) -> None:
    photos(tmp_path / "own")

    with pytest.raises(DataError, match=r"(?s)not all of one size.*image: \{size: \[\d+, \d+\], resize: crop\}"):
        prepare(tmp_path, "image_folder", "own")


def test_images_are_the_same_bytes_with_threads_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path / "own")
    written = []
    for seconds in (0.0, 1000.0):
        monkeypatch.setattr("tasks.sources.images.TIMED", 4)
        monkeypatch.setattr("tasks.sources.images.WORTH_A_THREAD_SECONDS", seconds)
        prepare(tmp_path, "image_folder", "own", image={"size": [16, 16]})
        written.append(processed(tmp_path))

    assert written[0] == written[1]


def test_groups_of_a_table_stay_whole_and_rows_have_names(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    lines = ["path,label,patient"]
    for number in range(60):
        Image.new("L", (4, 4), number).save(own / f"{number}.png")
        lines.append(f"{number}.png,{'ab'[number % 2]},p{number // 4}")
    (own / "table.csv").write_text("\n".join(lines))
    prepare(tmp_path, "csv", "own", group_column="patient")

    rows = read_rows(tmp_path)
    assert (rows.groupby("group")["split"].nunique() == 1).all()
    assert rows.value_counts("split").to_dict() == {"train": 36, "val": 8, "test": 16}
    for name in SPLITS:
        part = read_split(tmp_path, name)
        assert part.images[:, 0, 0, 0].tolist() == part.rows.tolist()  # the row's number in the table
        assert rows[rows["split"] == name]["path"].tolist() == [f"{row}.png" for row in part.rows.tolist()]


def test_metadata_follows_its_rows_into_the_splits(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    lines = ["path,label,group,camera, note"]
    sites = ["01", "1", "1.0", "NA", "", "a, b"]
    for number in range(48):
        Image.new("L", (4, 4), number).save(own / f"{number}.png")
        lines.append(f'{number}.png,{"ab"[number % 2]},p{number // 4},{"AB"[number // 24]},"{sites[number % 6]}"')
    (own / "table.csv").write_text("\n".join(lines))
    prepare(tmp_path, "csv", "own", group_column="group", metadata=["camera", " note", "group"])

    assert (tmp_path / "data/processed/rows.csv").read_text().startswith("split,row,path,group,camera, note,group\n")
    assert list(read_rows(tmp_path)) == ["split", "row", "path", "group"]
    for name in SPLITS:
        rows = read_split(tmp_path, name).rows.tolist()
        found = read_metadata(tmp_path, name, len(rows))
        assert {column: values.tolist() for column, values in found.items()} == {
            "camera": ["AB"[row // 24] for row in rows],
            " note": [sites[row % 6] for row in rows],
            "group": [f"p{row // 4}" for row in rows],
        }
    with pytest.raises(
        ArtifactError, match=r"rows.csv has 12 rows of test, and the split itself 11; .*run the stage 'preprocess'"
    ):
        read_metadata(tmp_path, "test", 11)


def test_a_validation_split_of_the_source_is_used_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(256, size=(9, 4, 5), dtype=np.uint8)
    labels = np.array([2, 0, 1] * 3)
    np.savez(
        tmp_path / "own.npz",
        x_train=images,
        y_train=labels,
        x_val=images[:3],
        y_val=labels[:3],
        x_test=images[:2],
        y_test=labels[:2],
    )
    prepare(tmp_path, "arrays")

    parts: dict[SplitName, Split] = {name: read_split(tmp_path, name) for name in SPLITS}
    assert [len(part) for part in parts.values()] == [9, 3, 2]
    assert np.array_equal(parts["val"].images[:, 0].numpy(), images[:3])
    assert capsys.readouterr().out == (
        "preprocess: the source has a validation split of its own; preprocess.val_fraction is not applied\n"
    )
    assert "in each split of the source" in read_dataset(tmp_path).rows


def test_the_test_is_drawn_where_the_source_has_only_a_validation_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, n in (("train", 8), ("val", 3)):
        for number in range(2 * n):
            path = tmp_path / f"own/{split}/{number % 2}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4)).save(path)
    prepare(tmp_path, "image_folder", "own")

    assert [len(read_split(tmp_path, name)) for name in SPLITS] == [12, 6, 4]
    assert "no test split of its own; preprocess.test_fraction of its training rows is held out" in capsys.readouterr().out


def test_counts_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos(tmp_path / "own")
    (tmp_path / "own/dark/notes.txt").write_text("woof")
    prepare(tmp_path, "image_folder", "own", image={"size": [4, 4]}, skip_unreadable=True)

    assert read_dataset(tmp_path).unreadable == 1
    assert "preprocess: unreadable files that the download left out: 1" in capsys.readouterr().out


def test_digits_take_a_form_too_and_are_as_before_without_one(root: Path, tmp_path: Path) -> None:
    prepare(tmp_path, image={"size": [16, 16], "channels": 3})

    assert read_dataset(tmp_path).shape == (3, 16, 16)
    part, plain = read_split(tmp_path, "test"), read_split(root, "test")
    assert part.rows.tolist() == plain.rows.tolist()
    by_hand = Image.fromarray(plain.images[5, 0].numpy()).convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(part.images[5].numpy(), np.asarray(by_hand).transpose(2, 0, 1))
    assert "unreadable" not in json.loads((root / "data/processed/dataset.json").read_text())
    assert (root / "data/processed/rows.csv").read_text() == "split,row,path,group\n"
    assert len(read_rows(root)) == 0
    assert read_metadata(root, "test", len(part)) == {}


def test_rejects_a_form_that_cannot_be() -> None:
    with pytest.raises(ParamsError, match=r"preprocess\.image\.resize: unknown name 'fit'; expected one of crop, pad, stretch"):
        params(image={"resize": "fit"})


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the largest memory of a process is read from Linux's /proc")
@pytest.mark.slow
def test_holds_a_bounded_number_of_images(tmp_path: Path) -> None:
    """A hundred images of 3 MB each are written with less than half of them in memory."""
    noise = np.random.default_rng(0).integers(256, size=(1000, 1000, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=30)
    for number in range(100):
        path = tmp_path / f"own/{number % 2}/{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
    chosen = {"dataset": {"name": "image_folder"}}
    # VmHWM, the largest memory of this program; getrusage would count that of the test's own process, which started it.
    code = (
        "import os, re, sys, pathlib; os.sched_getaffinity = lambda _: range(4); import numpy, PIL.Image; "
        "from tasks.preprocess import Params, preprocess; "
        "used = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024; before = used(); "
        "section = {'val_fraction': 0.2, 'test_fraction': 0.25}; "
        f"preprocess(Params.model_validate({{'seed': 0, 'download': {chosen}, 'preprocess': section}}), pathlib.Path(sys.argv[1])); "
        "print(used() - before)"
    )
    download(validate(DownloadParams, {"download": {**chosen, "path": "own"}}), tmp_path)
    command = [sys.executable, "-c", code, str(tmp_path)]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout

    assert read_dataset(tmp_path).shape == (3, 1000, 1000)
    assert float(printed.splitlines()[-1]) < 140  # MB; all of them are 300


@pytest.mark.mnist
@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="the MNIST files do not lie beside the project")
def test_mnist_without_validation_is_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, SHARED.resolve().as_uri())
    prepare(tmp_path, "mnist", val=0)

    train, test, dataset = read_split(tmp_path, "train"), read_split(tmp_path, "test"), read_dataset(tmp_path)
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert dataset.counts["train"] == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    # The figures that every MNIST tutorial normalises with.
    assert dataset.mean == [pytest.approx(0.1307, abs=5e-5)]
    assert dataset.deviation == [pytest.approx(0.3081, abs=5e-5)]
