"""Two processes that train together end where one process does; one that dies ends all."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import redirect_stdout
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
import torch
from torch import nn

from benchmarks.stages import call, params_of
from tasks.contracts.splits import Split, write_split
from tasks.contracts.trained import DYNAMICS, HISTORY, MODEL, WEIGHTS, read_history, read_model
from tasks.core.errors import ParamsError, TrainingError
from tasks.core.settings import load_yaml
from tasks.learning import checkpoint
from tasks.learning.checkpoint import Checkpoint
from tasks.learning.distributed import (
    ADDRESS,
    LOCAL_RANK,
    PORT,
    RANK,
    WORLD_SIZE,
    Worker,
    await_all,
    file_digest,
    group,
    launch,
)
from tasks.learning.loop import Learner
from tasks.learning.position import CHECKPOINT_VARIABLE, Position
from tasks.learning.sharded import Sharded
from tasks.train import learn_in
from tests.conftest import ROOT, Project, environment
from tests.tasks.learning.test_learning import blobs
from tests.tasks.test_train import processed

ParamsWith = Callable[..., Path]
Trained = tuple[dict[str, torch.Tensor], torch.Tensor]
EPOCHS = 8
STRATEGIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulate": {"batch_size": 59, "accumulate": 3},
    "cnn": {"model": {"name": "cnn", "channels": [4], "hidden": 8}},
    "momentum_and_clipping": {
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        "regularisation": {"clip_norm": 0.5},
    },
    "penalties": {"regularisation": {"l1": 0.001, "l2": 0.01}},
    "sam": {"regularisation": {"sam_radius": 0.05}},
    "ema": {"averaging": {"name": "ema", "decay": 0.9}},
    "schedule_free": {"optimizer": {"name": "schedulefree_adamw", "learning_rate": 0.01}},
    "mixup": {"mixing": {"name": "mixup"}, "augmentation": {"name": "geometric"}},
    "bf16": {"precision": "bf16-mixed"},
    "channels_last": {"model": {"name": "cnn", "channels": [8]}, "channels_last": True},
    "early_stopping": {"early_stopping": {"enabled": True, "patience": 2}},
    "onecycle_after_warm_up": {"schedule": {"name": "onecycle"}, "warmup": {"epochs": 1.5}},
}
# What fsdp takes: nothing that looks at all weights at once.
SHARDED = {
    "plain": {},
    "adam": {"optimizer": {"name": "adam", "learning_rate": 0.01}},
    "adamw": {"optimizer": {"name": "adamw", "learning_rate": 0.01}},
    "dropout_free_layers": {"model": {"name": "mlp", "hidden": [7, 5], "dropout": 0.0}},
} | {
    name: STRATEGIES[name]
    for name in (
        "accumulate",
        "cnn",
        "momentum_and_clipping",
        "mixup",
        "bf16",
        "channels_last",
        "early_stopping",
        "onecycle_after_warm_up",
    )
}
# bf16 has 8 digits: the gradients of two halves are rounded otherwise than those of the whole.
TOLERANCES = {"bf16": 1e-3}
CHECKPOINT = "run.ckpt"
PRINTED = "printed.txt"
TRAIN = (sys.executable, "-m", "flows.stage", "train")
TWO = ("epochs: 150 ", "devices: 2\n  epochs: 3 ")


def trained(root: Path) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    return read_model(root)[1], torch.from_numpy(read_history(root).to_numpy(dtype="float64"))


def differences(one: Trained, other: Trained, tolerance: float = 1e-5) -> list[str]:
    """The names of the tensors in which two trainings differ by more than the tolerance."""
    pairs = {name: (weight, other[0].get(name)) for name, weight in one[0].items()} | {"history": (one[1], other[1])}
    return [
        name
        for name, (mine, theirs) in pairs.items()
        if theirs is None or mine.shape != theirs.shape or not torch.allclose(mine, theirs, rtol=0, atol=tolerance)
    ]


def project(root: Path, stated: dict[str, Any]) -> Path:
    """A folder with processed data, and a params.yaml that states these choices for train; half of the val labels contradict train."""
    document = load_yaml(ROOT / "recipes/digits.yaml")
    document["train"] |= {"epochs": EPOCHS, "optimizer": {"name": "sgd", "learning_rate": 0.1}} | stated
    root.mkdir()
    (root / "params.yaml").write_text(json.dumps(document))
    shutil.copy2(ROOT / "dvc.yaml", root / "dvc.yaml")
    val = blobs(30, seed=1)
    labels = torch.where(torch.arange(30) % 2 == 0, val.labels, (val.labels + 1) % 3)
    write_split(processed(root), "val", Split(val.images, labels, val.rows))
    return root


def train_each(roots: list[Path]) -> None:
    """In each folder, as one of a group; from the folder's checkpoint, where it has one. Prints into the first folder."""
    strategy = params_of("train", roots[0]).train.strategy
    with (roots[0] / PRINTED).open("a") as said, redirect_stdout(said), group(0, torch.device("cpu"), strategy) as joined:
        for root in roots:
            os.environ.pop(CHECKPOINT_VARIABLE, None)
            if (root / CHECKPOINT).exists():
                os.environ[CHECKPOINT_VARIABLE] = str(root / CHECKPOINT)
            learn_in(joined, params_of("train", root), root)


def train_until_killed(root: Path, steps: int) -> None:
    """As one of a group, of which the first process is killed once it has kept a checkpoint of so many steps."""
    save = Checkpoint.save

    def save_and_die(self: Checkpoint, learner: Learner, at: Position) -> None:
        save(self, learner, at)
        if at.step == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoint.save = save_and_die  # type: ignore[method-assign]
    checkpoint.EVERY_SECONDS, checkpoint.EVERY_COSTS = 0.0, 0
    os.environ[CHECKPOINT_VARIABLE] = str(root / CHECKPOINT)
    params = params_of("train", root)
    with group(0, torch.device("cpu"), params.train.strategy) as joined:
        learn_in(joined, params_of("train", root), root)


def gather(root: Path) -> None:
    """As one of a group, write down what this process has of a divided model whose weights are all 3, and of its optimizer."""
    with group(0, torch.device("cpu"), "fsdp") as joined:
        model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
        for weight in model.parameters():
            nn.init.constant_(weight, 3.0)
        sharded = Sharded(model, torch.device("cpu"))
        for weight in model.parameters():
            nn.init.constant_(weight, 5.0)
        states = sharded.states(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        found = {name: len(part.state_dict()) for name, part in states.items()}
        whole = {float(value) for weight in sharded.whole().parameters() for value in weight.detach().flatten()}
        (root / f"{joined.rank}.json").write_text(json.dumps({**found, "whole": sorted(whole)}))


def workers() -> list[psutil.Process]:
    """Spawned ones, and those that the server of the fixture `forked` has forked."""
    own = psutil.Process()
    direct = own.children()
    commands = {child: command_of(child) for child in own.children(recursive=True)}
    return [child for child, said in commands.items() if "spawn_main" in said or ("forkserver" in said and child not in direct)]


def command_of(process: psutil.Process) -> str:
    """Nothing, where it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_a_process_that_ends_between_two_looks_at_it_has_still_failed() -> None:
    """Its pipe is closed a moment before the system tells its exit code."""

    class Ending:
        def __init__(self) -> None:
            self.codes = [None, 1]
            self.sentinel, sending = os.pipe()
            os.close(sending)

        @property
        def exitcode(self) -> int | None:
            return self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]

        def join(self, timeout: float) -> None: ...

        def is_alive(self) -> bool:
            return False

    receiving, _ = multiprocessing.Pipe(duplex=False)
    with pytest.raises(TrainingError, match="process 1 of the 1 that train together ended with exit code 1"):
        await_all([Worker(0, cast(BaseProcess, Ending()), receiving)])


@pytest.mark.slow
def test_two_processes_reach_the_weights_and_the_history_of_one(params_with: ParamsWith) -> None:
    # 60 rows in batches of 59: the last batch has one row, and the second process no part of it.
    root = processed(params_with(("epochs: 150 ", "epochs: 3 "), ("batch_size: 32 ", "batch_size: 59 ")))
    call("train", root)
    alone = trained(root)
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("epochs: 3 ", "devices: 2\n  epochs: 3 "))
    call("train", root)
    assert differences(trained(root), alone) == []
    assert not workers()


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_two_processes_reach_what_one_does_with_every_strategy(tmp_path: Path) -> None:
    """All in one pair of processes, because a start takes longer than all the trainings."""
    roots = {name: project(tmp_path / name, stated) for name, stated in STRATEGIES.items()}
    alone = {}
    for name, root in roots.items():
        call("train", root)
        alone[name] = trained(root)
        (root / "models").rename(root / "models_of_one")
    launch(train_each, 2, list(roots.values()))
    differing = {
        name: found
        for name, root in roots.items()
        if (found := differences(trained(root), alone[name], TOLERANCES.get(name, 1e-5)))
    }
    assert differing == {}
    # What could have been left out without a difference was not.
    unlike = {name: differences(alone[name], alone["plain"]) for name in STRATEGIES}
    assert [name for name, found in unlike.items() if not found] == ["plain"]
    assert len(alone["early_stopping"][1]) < EPOCHS


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_two_processes_with_a_part_of_the_weights_each_reach_what_one_does(tmp_path: Path) -> None:
    alone, roots = {}, {}
    for name, stated in SHARDED.items():
        root = project(tmp_path / name, stated)
        call("train", root)
        alone[name] = trained(root)
        roots[name] = project(tmp_path / f"{name}_sharded", {**stated, "strategy": "fsdp"})
    launch(train_each, 2, list(roots.values()))
    differing = {
        name: found
        for name, root in roots.items()
        if (found := differences(trained(root), alone[name], TOLERANCES.get(name, 1e-5)))
    }
    assert differing == {}
    assert all(differences(alone[name], alone["plain"]) for name in SHARDED if name != "plain")


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_only_the_first_process_is_given_all_weights_and_the_state_of_the_optimizer(tmp_path: Path) -> None:
    launch(gather, 2, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == {"model": 4, "optimizer": 2, "whole": [5.0]}
    assert second == {"model": 0, "optimizer": 0, "whole": [3.0]}  # those that it began with


def test_what_needs_all_weights_at_once_is_refused_with_a_part_of_them(tmp_path: Path) -> None:
    stated = {"strategy": "fsdp", "optimizer": {"name": "lamb"}, "regularisation": {"l1": 0.1}}
    root = project(tmp_path / "refused", stated)
    with pytest.raises(
        ParamsError, match=r"found fsdp with optimizer lamb, regularisation\.l1; each device then has only its part"
    ):
        call("train", root)


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_processes_that_were_killed_and_continue_write_the_bytes_of_an_undisturbed_run(tmp_path: Path, strategy: str) -> None:
    """Three, because two numbers have the same sum in either order."""
    stated = {
        "strategy": strategy,
        "epochs": 3,
        "batch_size": 12,  # five steps an epoch
        "model": {"name": "mlp", "hidden": [256, 256], "dropout": 0.2},
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
        "averaging": {"name": "ema", "decay": 0.9} if strategy == "ddp" else {"name": "none"},
    }
    killed, undisturbed = project(tmp_path / "killed", stated), project(tmp_path / "undisturbed", stated)
    with pytest.raises(TrainingError, match="process 1 of the 3 that train together was ended by SIGKILL"):
        launch(train_until_killed, 3, killed, 7)
    assert not (killed / MODEL).exists()
    launch(train_each, 3, [killed, undisturbed])
    assert (killed / PRINTED).read_text().count("train: continuing after step 7 (epoch 2, batch 2)") == 1
    for file in (WEIGHTS, MODEL, HISTORY, DYNAMICS):
        assert (killed / file).read_bytes() == (undisturbed / file).read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_what_one_process_raises_is_the_error_of_the_stage(params_with: ParamsWith) -> None:
    root = processed(params_with(TWO, ("learning_rate: 0.01}", "learning_rate: 1.0e+30}")))
    with pytest.raises(TrainingError, match="try a tenth of it"):
        call("train", root)
    assert not (root / "models").exists()
    assert not workers()


@pytest.mark.slow
def test_no_process_outlives_the_one_that_launched_it(params_with: ParamsWith) -> None:
    root = processed(params_with(("epochs: 150 ", "devices: 2\n  epochs: 100000 ")))
    stage = subprocess.Popen([sys.executable, "-m", "benchmarks.stages", str(root), "train"], cwd=ROOT, env=environment())
    try:
        deadline = time.monotonic() + 60
        while len(workers()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        started = workers()
        assert len(started) == 2
    finally:
        stage.send_signal(signal.SIGKILL)
        stage.wait()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive


@pytest.mark.parametrize(("strategy", "says_so"), [("ddp", False), ("fsdp", True)])
def test_one_process_says_that_it_divides_nothing(strategy: str, says_so: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with group(0, torch.device("cpu"), strategy) as alone:
        assert alone.size == 1
    assert ("the strategy fsdp changes nothing here" in capsys.readouterr().out) == says_so


def test_data_are_compared_without_being_in_memory_as_a_whole(tmp_path: Path) -> None:
    large = tmp_path / "train.safetensors"
    with large.open("wb") as file:
        file.truncate(32 * 1024**2)  # zeros, of which the disk holds none
    tracemalloc.start()
    try:
        digest = file_digest(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024**2
    assert digest == hashlib.sha256(bytes(32 * 1024**2)).hexdigest()


def test_several_machines_need_torchrun(params_with: ParamsWith) -> None:
    root = processed(params_with(("epochs: 150 ", "num_nodes: 2\n  epochs: 3 ")))
    with pytest.raises(ParamsError, match=r"torchrun --nnodes 2 --nproc-per-node 1"):
        call("train", root)


def test_a_batch_has_an_example_for_each_device(params_with: ParamsWith) -> None:
    root = processed(params_with(("epochs: 150 ", "devices: 64\n  epochs: 3 ")))
    with pytest.raises(ParamsError, match="batch_size is 32; expected at least one example for each device"):
        call("train", root)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def member(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells one of two processes, each on a machine of its own."""
    return {RANK: str(rank), LOCAL_RANK: "0", WORLD_SIZE: "2", ADDRESS: "127.0.0.1", PORT: str(port)}


def torchrun(node: int, port: int) -> list[str]:
    """One of two machines, with one process."""
    place = ["--nnodes", "2", "--node-rank", str(node), "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port"]
    return [sys.executable, "-m", "torch.distributed.run", *place, str(port), *TRAIN[1:]]


@pytest.mark.slow
def test_two_nodes_under_torchrun_reach_the_weights_of_one_process(ran: Project) -> None:
    alone = trained(ran.root)
    ran.edit("params.yaml", "epochs: 3 ", "num_nodes: 2\n  epochs: 3 ")
    port = free_port()
    second = ran.start(*torchrun(1, port))
    try:
        first = ran.run(*torchrun(0, port))
        said = second.communicate(timeout=120)
    finally:
        second.kill()
    assert second.returncode == 0, said
    assert first.stdout.count("train: 3 epochs") == 1
    assert "train: 3 epochs" not in said[0]
    for name, weight in alone[0].items():
        torch.testing.assert_close(trained(ran.root)[0][name], weight, rtol=0, atol=1e-5)
    internal = json.loads(ran.text("lineage/train.json"))["predicate"]["buildDefinition"]["internalParameters"]
    assert (internal["device"], internal["precision"]) == ("cuda" if torch.cuda.is_available() else "cpu", "32-true")


@pytest.mark.slow
def test_machines_whose_code_differs_are_told_before_they_train(ran: Project, tmp_path: Path) -> None:
    ran.edit("params.yaml", "epochs: 3 ", "num_nodes: 2\n  epochs: 3 ")
    other = Project(Path(shutil.copytree(ran.root, tmp_path / "other")))
    with (other.root / "tasks/learning/stopping.py").open("a") as file:
        file.write("# another version\n")
    with (other.root / "tasks/learning/imitation.py").open("a") as file:
        file.write("# which no training runs\n")
    port = free_port()
    second = other.start("env", *(f"{name}={value}" for name, value in member(1, port).items()), *TRAIN)
    try:
        first = ran.run(*TRAIN, check=False, **member(0, port))
        second.communicate(timeout=120)
    finally:
        second.kill()
    assert first.returncode != 0
    assert "the 2 processes that train together differ in their code; bring every machine to the same state" in first.stderr


@pytest.mark.slow
def test_a_killed_process_fails_the_stage_which_leaves_no_output_and_no_process(fresh: Project) -> None:
    fresh.repro("preprocess")
    fresh.edit("params.yaml", "epochs: 3 ", "devices: 2\n  precision: bf16-mixed\n  epochs: 100000 ")
    stage = fresh.start(sys.executable, "-m", "flows.stage", "train")
    try:
        deadline = time.monotonic() + 120
        while not (fresh.root / "dvclive").exists() and time.monotonic() < deadline:  # until an epoch has ended
            time.sleep(0.1)
        started = workers()
        started[1].kill()
        _, printed = stage.communicate(timeout=120)
    finally:
        stage.kill()
    assert stage.returncode == 1
    assert "ended by SIGKILL; the others were ended too" in printed
    assert not psutil.wait_procs(started, timeout=60)[1]
    assert not list((fresh.root / "models").glob("model*"))
