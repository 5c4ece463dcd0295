"""The figures on a few images: both sides do what they are said to do. No test looks at a time."""

import shutil
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import linear_solver, mnist, mnist_fast_turns, textbook_plain, timed_stage
from benchmarks.mnist_fast_published import BATCH_SIZE, trained
from benchmarks.stages import params_of, threads_of
from flows.parameters.recipes import use_recipe
from tasks.contracts.splits import Dataset, Split, SplitName, read_split, write_dataset, write_split
from tasks.contracts.trained import read_model
from tasks.core.components import Component
from tasks.learning.inference import Preparation
from tasks.train import train
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

ROWS: dict[SplitName, int] = {"train": 600, "val": 0, "test": 50}
MEAN, DEVIATION = 0.1307, 0.3081
CROSS_ENTROPY = Component("tasks.learning.losses").choose({"name": "cross_entropy"})
PLAIN = {"shuffle": False, "channels_last": False, "precision": "32-true", "loss": CROSS_ENTROPY}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The parameters of mnist-fast, and a few images of MNIST's form, in which a bright row tells the class."""
    shutil.copy2(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    use_recipe("mnist-fast", tmp_path)
    generator = torch.Generator().manual_seed(0)
    for name, rows in ROWS.items():
        labels = torch.arange(rows) % 10
        images = torch.randint(0, 60, (rows, 1, 28, 28), dtype=torch.uint8, generator=generator)
        images[torch.arange(rows), 0, 2 * labels + 4] += 190
        write_split(tmp_path, name, Split(images, labels, torch.arange(rows)))
    counts = {name: [rows // 10] * 10 for name, rows in ROWS.items()}
    described = {"name": "mnist", "classes": [str(label) for label in range(10)], "shape": (1, 28, 28), "counts": counts}
    write_dataset(tmp_path, Dataset.model_validate({**described, "mean": [MEAN], "deviation": [DEVIATION], "rows": ""}))
    return tmp_path


def test_the_recipe_differs_from_its_published_form_by_order_layout_precision_and_smoothing_alone(project: Path) -> None:
    """With these four as published, both end with the same weights, but for the last bits of a fused optimizer."""
    params = params_of("train", project)
    train(params.model_copy(update={"train": params.train.model_copy(update=PLAIN)}), project)
    _, ours = read_model(project)
    split = read_split(project, "train")
    assert params.train.batch_size == BATCH_SIZE
    published, _ = trained(Preparation([MEAN], [DEVIATION])(split.images), split.labels, seed=params.seed)
    for layer, its in zip(
        ("0", "3", "7", "9"), (published.first, published.second, published.hidden, published.last), strict=True
    ):
        for name, value in its.state_dict().items():
            torch.testing.assert_close(ours[f"{layer}.{name}"], value, atol=1e-4, rtol=1e-3)


def test_both_sides_of_mnist_fast_are_trained_once_for_each_seed(project: Path) -> None:
    turns = mnist_fast_turns.main(project, seeds=3, pairs=2)
    assert turns["threads"] == params_of("train", project).threads
    for side, seeds in (("ours", 3), ("published", 2)):
        assert (len(turns[side]["seconds"]), len(turns[side]["accuracies"])) == (2, seeds)
        assert all(0 < accuracy <= 1 for accuracy in turns[side]["accuracies"])


def test_the_loop_is_timed_within_the_stage_and_left_as_it_was(project: Path) -> None:
    from tasks.learning import loop

    fit = loop.fit
    ran = timed_stage.main(project, "train")
    assert loop.fit is fit
    assert 0 < ran["loop"] < ran["seconds"]
    assert ran["peak_bytes"] > 10**8


def test_a_timed_stage_has_the_threads_of_its_own_process(project: Path) -> None:
    """mnist-fast states two; `download` has no such parameter, and computes in one."""
    assert (threads_of("train", project), threads_of("download", project)) == (2, 1)


def test_scikit_learns_solver_fits_the_same_splits(project: Path) -> None:
    found = linear_solver.main(project, iterations=20)
    assert found["accuracy"] > 0.9
    assert 1 <= found["iterations"] <= 20


@pytest.mark.filterwarnings(
    "default"
)  # Lightning's own: what of torch's it will have to replace, and that one process reads the data
def test_lightning_trains_the_plain_script_to_the_last_digit(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="the extra `bench` is not installed")
    from benchmarks import textbook_lightning

    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for split, rows in (("train", 100), ("t10k", 10)):
        images, labels = random.integers(0, 256, (rows, 28, 28), np.uint8), random.integers(0, 10, rows, np.uint8)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, rows, 28, 28) + images.tobytes())
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, rows) + labels.tobytes())
    plain, under_lightning = (side.main(str(tmp_path), 2, 1) for side in (textbook_plain, textbook_lightning))
    assert under_lightning["last_batch_loss"] == plain["last_batch_loss"]
    assert len(under_lightning["epoch_seconds"]) == len(plain["epoch_seconds"]) == 2


def test_without_the_files_of_mnist_the_table_says_what_they_are_needed_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mnist, "MNIST", tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the tests keep their own
    assert command.main(["textbook_loop", "linear_accuracy", "mnist_fast", "diagnosis"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 6
    assert all("not measured: needs the four files of MNIST" in row and "../shared/data/mnist" in row for row in rows[2:])


def test_a_figure_that_breaks_is_in_the_table_and_in_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "FIGURES", ("no_such_figure",))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert command.main([]) == 1
    assert "| no_such_figure | – | – | – | – | not measured: broke, see above |" in capsys.readouterr().out
