"""On a CUDA device: every component trains there, to the weights of the CPU, and to the same bits in every run."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.stages import call, params_of
from flows.lineage.statement import environment
from tasks.contracts.splits import Dataset, Split, write_dataset, write_split
from tasks.contracts.trained import DYNAMICS, HISTORY, MODEL, WEIGHTS, read_history, read_model
from tasks.core.components import Component
from tasks.core.errors import TrainingError
from tasks.core.settings import load_yaml
from tasks.learning import checkpoint
from tasks.learning.checkpoint import Checkpoint
from tasks.learning.gain import GAIN
from tasks.learning.loop import Learner
from tasks.learning.position import CHECKPOINT_VARIABLE, Position
from tasks.train import train
from tests.conftest import ROOT

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")]

OUTPUTS = (WEIGHTS, MODEL, HISTORY, DYNAMICS)
SHAPE, CLASSES = (1, 28, 28), 3
CNN = {"model": {"name": "cnn", "channels": [8, 8], "hidden": 16}}
DROPOUT = {"model": {"name": "mlp", "hidden": [64], "dropout": 0.5}}
GEOMETRIC, MIXUP = {"augmentation": {"name": "geometric"}}, {"mixing": {"name": "mixup"}}
# Of a kind of component: the choice in params, its folder, and the options that it cannot do without.
KINDS = {
    "model": "tasks.models",
    "loss": "tasks.learning.losses",
    "optimizer": "tasks.learning.optimizers",
    "schedule": "tasks.learning.schedules",
    "augmentation": "tasks.learning.augmentations",
    "mixing": "tasks.learning.mixing",
    "averaging": "tasks.learning.averaging",
}
REQUIRED: dict[str, dict[str, Any]] = {
    "optimizer": {"learning_rate": 0.003},
    "step": {"step_size": 1},
    "multistep": {"milestones": [2]},
    "exponential": {"gamma": 0.9},
}
OTHERS: dict[str, dict[str, Any]] = {
    "accumulate": {"accumulate": 3},
    "clip": {"regularisation": {"clip_norm": 0.1}},
    "penalties": {"regularisation": {"l1": 0.001, "l2": 0.01}},
    "sam": {"regularisation": {"sam_radius": 0.05}},
    "channels_last": CNN | {"channels_last": True},
    "bf16": CNN | {"precision": "bf16-mixed"},
    "fp16": CNN | {"precision": "16-mixed"},
    "early_stopping": {"early_stopping": {"enabled": True}},
}
# Their random numbers are drawn on the device, whose generator is another one than that of the CPU.
DRAWS = {"augmentation-geometric", "augmentation-randaugment", "augmentation-trivialaugment", "mixing-mixup", "mixing-cutmix"}
# Sums are added in another order there. 16 bits, muon (which computes in bf16 itself) and batch norm make more of that.
TOLERANCE, ROUNDED = 1e-3, {"bf16": 0.1, "fp16": 0.02, "optimizer-muon": 0.02, "model-resnet18": 0.1}
# The sign of a gradient near 0 can differ, and with it lion's whole step; the batch norms of a deep model multiply differences.
UNLIKE = {"optimizer-lion", "model-resnet18"}


def choices() -> dict[str, dict[str, Any]]:
    """What `train` states for every component that needs no code of a user, and for what else there is to choose."""
    found = dict(OTHERS)
    for kind, folder in KINDS.items():
        for name in Component(folder).names():
            if name != "imported":
                stated = {"name": name} | REQUIRED.get(kind, {}) | REQUIRED.get(name, {})
                found[f"{kind}-{name}"] = {kind: stated}
    return found


def patterns(rows: int, seed: int) -> Split:
    """Three classes of noisy images (N, 1, 28, 28) uint8, each bright in another place."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % CLASSES
    images = torch.randint(0, 90, (rows, *SHAPE), generator=generator)
    for row, label in enumerate(labels):
        images[row, :, 9 * int(label) : 9 * int(label) + 9] += 60
    return Split(images.to(torch.uint8), labels, torch.arange(rows))


def project(root: Path, device: str, stated: dict[str, Any]) -> Path:
    """A folder with processed data, and a params.yaml that states these choices for train."""
    root.mkdir()
    document = load_yaml(ROOT / "recipes/digits.yaml")
    document["train"] |= {"epochs": 2, "batch_size": 32, "optimizer": {"name": "sgd", "learning_rate": 0.05}, "device": device}
    document["train"] |= stated
    (root / "params.yaml").write_text(json.dumps(document))
    shutil.copy2(ROOT / "dvc.yaml", root / "dvc.yaml")
    write_split(root, "train", patterns(150, seed=0))
    write_split(root, "val", patterns(60, seed=1))
    counts = {"train": [50] * CLASSES, "val": [20] * CLASSES, "test": [0] * CLASSES}
    dataset = {
        "name": "patterns",
        "classes": ["a", "b", "c"],
        "shape": SHAPE,
        "counts": counts,
        "mean": [0.2],
        "deviation": [0.1],
    }
    write_dataset(root, Dataset.model_validate(dataset | {"rows": ""}))
    return root


def trained(root: Path, device: str, stated: dict[str, Any]) -> Path:
    call("train", project(root, device, stated))
    return root


def assert_same_bytes(one: Path, other: Path) -> None:
    for file in OUTPUTS:
        assert (one / file).read_bytes() == (other / file).read_bytes(), f"{file} differs"


@pytest.mark.parametrize("name", choices())
def test_every_choice_learns_the_same_bits_in_two_runs(tmp_path: Path, name: str) -> None:
    runs = [trained(tmp_path / str(number), "cuda", choices()[name]) for number in (1, 2)]
    assert_same_bytes(*runs)
    first, last = read_history(runs[0])["train_loss"]
    assert last < first or last < 0.001  # where the first epoch has left nothing to learn


@pytest.mark.parametrize("name", [name for name in choices() if name not in DRAWS])
def test_every_choice_reaches_the_weights_of_the_cpu(tmp_path: Path, name: str) -> None:
    stated = choices()[name] | {"epochs": 1}
    here, there = (trained(tmp_path / device, device, stated) for device in ("cuda", "cpu"))
    (described, found), (expected_description, expected) = read_model(here), read_model(there)
    assert described == expected_description
    tolerance = ROUNDED.get(name, TOLERANCE)
    loss = [read_history(root)["val_loss"].iloc[-1] for root in (here, there)]
    assert loss[0] == pytest.approx(loss[1], abs=tolerance)
    if name not in UNLIKE:
        for key, weight in expected.items():
            torch.testing.assert_close(found[key], weight, rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::UserWarning")  # of torch's own compiler
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_compiled_steps_agree_and_their_gain_is_told(
    tmp_path: Path, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = CNN | {"precision": precision}
    eager = trained(tmp_path / "eager", "cuda", stated)
    compiled = [trained(tmp_path / f"compiled{number}", "cuda", stated | {"compile": True}) for number in (1, 2)]
    assert_same_bytes(*compiled)
    loss = [read_history(root)["val_loss"].iloc[-1] for root in (eager, compiled[0])]
    assert loss[0] == pytest.approx(loss[1], abs=1e-3 if precision == "32-true" else 0.1)
    assert (compiled[0] / GAIN).exists()
    assert "of the time of 32-true here" in capsys.readouterr().out


def train_until_killed(root: Path, steps: int) -> None:
    """Called in a process of its own, which ends itself once it has kept a checkpoint of so many steps."""
    save = Checkpoint.save

    def save_and_die(self: Checkpoint, learner: Learner, at: Position) -> None:
        save(self, learner, at)
        if at.step == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoint.save = save_and_die  # type: ignore[method-assign]
    checkpoint.EVERY_SECONDS, checkpoint.EVERY_COSTS = 0.0, 0
    train(params_of("train", root), root)


@pytest.mark.parametrize(
    "stated",
    [DROPOUT, CNN | {"precision": "16-mixed"}, GEOMETRIC | MIXUP | {"averaging": {"name": "ema"}}],
    ids=["dropout", "fp16", "mixed"],
)
def test_a_run_that_was_killed_ends_with_the_same_bytes(
    tmp_path: Path, stated: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = trained(tmp_path / "undisturbed", "cuda", stated)
    killed = project(tmp_path / "killed", "cuda", stated)
    file = str(tmp_path / "run.ckpt")
    code = "import sys; from pathlib import Path; from tests.tasks.learning.test_cuda import train_until_killed; "
    done = subprocess.run(
        [sys.executable, "-c", code + "train_until_killed(Path(sys.argv[1]), 7)", str(killed)],
        cwd=ROOT,
        env=os.environ | {CHECKPOINT_VARIABLE: file},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not (killed / MODEL).exists()
    monkeypatch.setenv(CHECKPOINT_VARIABLE, file)
    call("train", killed)
    assert "continuing after step 7" in capsys.readouterr().out
    assert_same_bytes(undisturbed, killed)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_one_process_under_torchrun_reaches_the_weights_of_none(tmp_path: Path, strategy: str) -> None:
    """One GPU is one process of a group, which NCCL joins."""
    alone, joined = trained(tmp_path / "alone", "cuda", CNN), project(tmp_path / "joined", "cuda", CNN | {"strategy": strategy})
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "1",
        "-m",
        "benchmarks.stages",
    ]
    done = subprocess.run([*command, str(joined), "train"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_same_bytes(alone, joined)


@pytest.mark.parametrize(
    ("megabytes", "message"),
    [
        (50, r"out of memory before the first step: CUDA out of memory\. .*train.strategy: fsdp"),
        (140, r"out of memory at step 1 .*A smaller train.batch_size needs less"),
    ],
)
def test_what_does_not_fit_says_what_needs_less_memory(tmp_path: Path, megabytes: int, message: str) -> None:
    """The weights need 80 MB, and their gradient as much again."""
    root = project(tmp_path / "large", "cuda", {"model": {"name": "mlp", "hidden": [4096, 4096]}})
    torch.cuda.empty_cache()
    kept = torch.cuda.memory_reserved()  # by what other tests have left
    torch.cuda.set_per_process_memory_fraction((kept + megabytes * 1e6) / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(TrainingError, match=message):
            call("train", root)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert not (root / MODEL).exists()


def test_the_statement_names_the_gpu_and_its_libraries() -> None:
    found = environment({"train": {"device": "auto", "precision": "bf16-mixed"}}, {}, computes=True)
    assert (found["device"], found["precision"]) == ("cuda", "bf16-mixed")
    assert found["gpu"] == torch.cuda.get_device_name()
    assert found["cuda"] == torch.version.cuda
    assert found["cudnn"].isdecimal()


def test_more_devices_than_there_are_is_an_error(tmp_path: Path) -> None:
    count = torch.cuda.device_count()
    root = project(tmp_path / "many", "cuda", {"devices": count + 1})
    with pytest.raises(Exception, match=f"train.devices is {count + 1}, but torch finds {count} CUDA device"):
        call("train", root)
