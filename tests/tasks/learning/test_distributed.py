"""Two processes that train together end where one process does; one that dies ends all."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

import psutil
import pytest
import torch

from benchmarks.stages import call
from tasks.contracts.trained import read_history, read_model
from tasks.core.errors import ParamsError, TrainingError
from tasks.learning.distributed import Worker, await_all
from tests.conftest import ROOT, Project, environment
from tests.tasks.test_train import processed

ParamsWith = Callable[..., Path]
TWO = ("epochs: 150 ", "devices: 2\n  epochs: 3 ")


def trained(root: Path) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    return read_model(root)[1], torch.from_numpy(read_history(root).to_numpy(dtype="float64"))


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "spawn_main" in command_of(child)]


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
@pytest.mark.parametrize("accumulate", [1, 3])
def test_two_processes_reach_the_weights_and_the_history_of_one(params_with: ParamsWith, accumulate: int) -> None:
    # 60 rows in batches of 59: the last batch has one row, and the second process no part of it.
    stated = ("batch_size: 32 ", f"accumulate: {accumulate}\n  batch_size: 59 ")
    root = processed(params_with(("epochs: 150 ", "epochs: 3 "), stated))
    call("train", root)
    alone = trained(root)
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("epochs: 3 ", "devices: 2\n  epochs: 3 "))
    call("train", root)
    together = trained(root)
    for name, weight in alone[0].items():
        torch.testing.assert_close(together[0][name], weight, rtol=0, atol=1e-5)
    torch.testing.assert_close(together[1], alone[1], rtol=0, atol=1e-5)
    assert not workers()


@pytest.mark.slow
def test_what_one_process_raises_is_the_error_of_the_stage(params_with: ParamsWith) -> None:
    root = processed(params_with(TWO, ("learning_rate: 0.01}", "learning_rate: 1.0e+30}")))
    with pytest.raises(TrainingError, match="try a tenth of it"):
        call("train", root)
    assert not (root / "models").exists()
    assert not workers()


@pytest.mark.slow
def test_a_process_that_is_killed_ends_all_with_one_message(params_with: ParamsWith) -> None:
    root = processed(params_with(("epochs: 150 ", "devices: 2\n  epochs: 100000 ")))

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not (root / "dvclive").exists() and time.monotonic() < deadline:  # until an epoch has ended
            time.sleep(0.1)
        workers()[1].kill()

    thread = threading.Thread(target=kill_one)
    thread.start()
    with pytest.raises(TrainingError, match="that train together was ended by SIGKILL"):
        call("train", root)
    thread.join()
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


def test_several_machines_need_torchrun(params_with: ParamsWith) -> None:
    root = processed(params_with(("epochs: 150 ", "num_nodes: 2\n  epochs: 3 ")))
    with pytest.raises(ParamsError, match=r"torchrun --nnodes 2 --nproc-per-node 1"):
        call("train", root)


def test_a_batch_has_an_example_for_each_device(params_with: ParamsWith) -> None:
    root = processed(params_with(("epochs: 150 ", "devices: 64\n  epochs: 3 ")))
    with pytest.raises(ParamsError, match="batch_size is 32; expected at least one example for each device"):
        call("train", root)


def torchrun(node: int, port: int) -> list[str]:
    """One of two machines, with one process."""
    place = ["--nnodes", "2", "--node-rank", str(node), "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port"]
    return [sys.executable, "-m", "torch.distributed.run", *place, str(port), "-m", "flows.stage", "train"]


@pytest.mark.slow
def test_two_nodes_under_torchrun_reach_the_weights_of_one_process(ran: Project) -> None:
    alone = trained(ran.root)
    ran.edit("params.yaml", "epochs: 3 ", "num_nodes: 2\n  epochs: 3 ")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
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
def test_a_killed_process_fails_the_stage_which_leaves_no_output_and_no_process(fresh: Project) -> None:
    fresh.repro("preprocess")
    fresh.edit("params.yaml", "epochs: 3 ", "devices: 2\n  precision: bf16-mixed\n  epochs: 100000 ")
    stage = fresh.start(sys.executable, "-m", "flows.stage", "train")
    try:
        deadline = time.monotonic() + 120
        while len(workers()) < 2 and time.monotonic() < deadline:
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
