"""Training on several devices: one process for each, which computes its part of every batch; the gradients are those of the whole.

Every process holds the whole model and takes the same steps (torch's DistributedDataParallel), or holds a part of it
(tasks/learning/sharded.py). The first one also measures, keeps the checkpoint and writes the outputs.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tasks.core.errors import GoodfitError, ParamsError, TrainingError
from tasks.core.progress import EVENTS_VARIABLE, events_pipe
from tasks.learning.batches import seed_of
from tasks.learning.gradients import parts
from tasks.learning.small_batches import has_batch_norm

if TYPE_CHECKING:
    from tasks.learning.sharded import Sharded

# torchrun sets these for each process that it starts, and so does `launch`.
RANK, LOCAL_RANK, WORLD_SIZE = "RANK", "LOCAL_RANK", "WORLD_SIZE"
ADDRESS, PORT = "MASTER_ADDR", "MASTER_PORT"
JOINED = (RANK, WORLD_SIZE, ADDRESS, PORT)
# How long a process waits for the others: they wait while the first one measures. A process that has ended is noticed at once.
PATIENCE = timedelta(hours=2)
# After one process has failed, so long for the others to say something better: they only see that a connection was closed.
CAUSE_SECONDS = 1.0
T = TypeVar("T")


class PeerError(TrainingError):
    """Another process of the group has ended; that one knows why."""


class Group:
    """The processes that train one model together. This is process `rank` of `size`; the first has rank 0."""

    def __init__(self, rank: int = 0, size: int = 1, seed: int = 0, strategy: str = "ddp") -> None:
        self.rank, self.size, self.seed, self.strategy = rank, size, seed, strategy
        self.sharded: Sharded | None = None
        self._replica: DistributedDataParallel | None = None
        self._said = False

    def with_batch_norm(self, model: nn.Module, device: torch.device) -> nn.Module:
        """On CUDA, batch normalisation over the whole batch; torch has none for the CPU, where each process normalises its part."""
        if self.size == 1 or not has_batch_norm(model):
            return model
        if device.type == "cuda":
            return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(model))
        if not self._said:  # a model may be made twice, for the range test and for the training
            print(
                f"train: on the CPU each of the {self.size} processes normalises its own part of a batch (batch_norm): the result "
                "differs from that of one process"
            )
            self._said = True
        return model

    def divided(self, model: nn.Module, device: torch.device) -> nn.Module:
        """With the strategy fsdp, the model of which each process keeps a part; an optimizer is to be made of these weights."""
        if self.strategy == "fsdp":
            from tasks.learning.sharded import Sharded  # 0.5 s, only where it is needed

            self.sharded = Sharded(model, device)
        return model

    def replica(self, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The model whose gradients are averaged over the processes during the backward pass."""
        if self.size == 1 or self.sharded is not None:
            return forward
        self._replica = DistributedDataParallel(cast(nn.Module, forward))
        return self._replica

    def parts(self, images: Tensor, targets: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor, float, float]]:
        """This process's part of the batch in at most `count` parts: images, targets, share of the batch, weight of the loss.

        The gradients are averaged over the processes: weighted by share times size, they add up to those of the whole batch.
        A process without a part, where a last batch is smaller than the group, takes the first example with weight 0.
        """
        if self.size == 1:
            for part, wanted, share in parts(images, targets, count):
                yield part, wanted, share, share
            return
        own, own_targets = images.tensor_split(self.size)[self.rank], targets.tensor_split(self.size)[self.rank]
        share_of_own = len(own) / len(images)
        if not len(own):
            own, own_targets = images[:1], targets[:1]
        pieces = [
            (part, wanted, share * share_of_own, share * share_of_own * self.size)
            for part, wanted, share in parts(own, own_targets, count)
        ]
        with self._without_exchange():  # gradients are exchanged once, with those of the last part
            yield from pieces[:-1]
        yield pieces[-1]

    @contextmanager
    def _without_exchange(self) -> Iterator[None]:
        if self.sharded is None:
            with cast(DistributedDataParallel, self._replica).no_sync():
                yield
            return
        self.sharded.exchange(False)
        yield
        self.sharded.exchange(True)

    def takes_part_in_saving(self, due: bool) -> bool:
        """Whether this process helps to save a checkpoint that is `due` to the first: all do, where each has a part of the weights."""
        return due and self.rank == 0 if self.sharded is None else self.of_first(lambda: due)

    def sum(self, value: Tensor) -> Tensor:
        """Over the processes."""
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def of_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process; the others wait for it."""
        if self.size == 1:
            return make()
        made: list[Any] = [make() if self.rank == 0 else None]
        distributed.broadcast_object_list(made, src=0)
        return cast(T, made[0])

    def begin_step(self, step: int) -> None:
        """Dropout draws other numbers in each process; they follow from the seed, the step and the rank, so that a run can continue."""
        if self.size > 1:
            torch.manual_seed(seed_of(self.seed, step, self.rank))

    def require_same(self, params: dict[str, Any], files: list[Path]) -> None:
        """Every process has the same parameters, data, code and torch; of the code, what this process has loaded.

        Raises:
            ParamsError: they differ, as they can where another machine has files of its own.
        """
        if self.size == 1:
            return
        own: dict[str, Any] = {"parameters": json.dumps(params, sort_keys=True), "torch": torch.__version__}
        own |= {"data": [file_digest(file) for file in files], "code": _loaded_code()}
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, own)
        in_all = set.intersection(*(set(other["code"]) for other in found))
        for other in found:
            other["code"] = {name: other["code"][name] for name in sorted(in_all)}
        differing = [name for name in own if any(other[name] != found[0][name] for other in found)]
        if differing:
            raise ParamsError(
                f"the {self.size} processes that train together differ in their {', '.join(differing)}; bring every machine to "
                "the same state and start again"
            )


def _loaded_code() -> dict[str, str]:
    """The digest of the file of every module of `tasks` that is loaded, by name."""
    modules = {name: module.__file__ for name, module in list(sys.modules.items()) if name.partition(".")[0] == "tasks"}
    return {name: file_digest(Path(file)) for name, file in modules.items() if file}


def file_digest(file: Path) -> str:
    """The SHA-256 of a file, read in blocks: the data may be larger than the memory."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def is_joining() -> bool:
    """Whether torchrun, or `launch`, has started this process as one of a group."""
    return all(name in os.environ for name in JOINED)


def processes_to_launch(devices: int, num_nodes: int, device: str) -> int:
    """How many processes this machine needs for `devices` devices of `num_nodes` machines: 1 where this process is enough.

    Raises:
        ParamsError: there are fewer CUDA devices, or this process belongs to a group of another size, or other machines are needed
            and torchrun has not started this process.
    """
    if device != "cpu" and torch.cuda.is_available() and torch.cuda.device_count() < devices:
        raise ParamsError(
            f"train.devices is {devices}, but torch finds {torch.cuda.device_count()} CUDA device(s) here; set it to at most that, or "
            "train.device to cpu"
        )
    if not is_joining():
        if num_nodes > 1:
            raise ParamsError(
                f"train.num_nodes is {num_nodes}, but nothing has told this process of the other machines ({', '.join(JOINED)} are not "
                f"set); start it on each of them through `torchrun --nnodes {num_nodes} --nproc-per-node {devices} --node-rank N "
                "--master-addr HOST --master-port PORT`, or set train.num_nodes to 1"
            )
        return devices
    size = int(os.environ[WORLD_SIZE])
    if size != devices * num_nodes:
        raise ParamsError(
            f"{WORLD_SIZE} is {size}: so many processes were started; train.devices x train.num_nodes is {devices} x {num_nodes}. "
            "Start as many, or change the two"
        )
    return 1


@contextmanager
def group(seed: int, device: torch.device, strategy: str = "ddp") -> Iterator[Group]:
    """The group that this process belongs to while the block runs: of one, unless it was started as one of several.

    Only the first process prints.

    Raises:
        PeerError: another process has ended.
    """
    if not is_joining():
        if strategy == "fsdp":
            print(
                "train: the strategy fsdp changes nothing here: one process alone holds the whole model, as with ddp; raise "
                "train.devices to divide it"
            )
        yield Group()
        return
    rank, size = int(os.environ[RANK]), int(os.environ[WORLD_SIZE])
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ[LOCAL_RANK]))
    with ExitStack() as stack:
        if rank:
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        try:
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
            yield Group(rank, size, seed, strategy)
            distributed.barrier()  # the first is done: until then its outputs may still fail
        except RuntimeError as error:
            if not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
                raise
            raise PeerError(
                f"another of the {size} processes that train together has ended; its own message says why "
                f"({str(error).strip().partition(chr(10))[0]})"
            ) from error
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()


def launch(function: Callable[..., None], count: int, *arguments: Any) -> None:
    """Call the function in `count` new processes, which form a group; return when all have ended well.

    Where one raises or is killed, all end, and none is left behind.

    Raises:
        GoodfitError: what a process raised; a TrainingError where it was killed or its error is none of ours.
    """
    # torch documents torch.distributed.TCPStore, but its type stubs do not export the name.
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    context = multiprocessing.get_context("spawn")
    events = events_pipe()
    workers: list[Worker] = []
    try:
        for rank in range(count):
            receiving, sending = context.Pipe(duplex=False)
            progress = Connection(os.dup(events), readable=False) if events is not None and rank == 0 else None
            process = context.Process(
                target=_work, args=((rank, count, store.port), progress, sending, function, arguments), name=f"rank-{rank}"
            )
            process.start()
            sending.close()
            if progress is not None:
                progress.close()
            workers.append(Worker(rank, process, receiving))
        await_all(workers)
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.said.close()


class Worker:
    """One process, and the pipe through which it says what it raised."""

    def __init__(self, rank: int, process: multiprocessing.process.BaseProcess, said: Connection) -> None:
        self.rank, self.process, self.said = rank, process, said

    def failure(self, count: int) -> GoodfitError | None:
        """Why it has ended; None where it runs or has ended well."""
        if self.process.is_alive() or self.process.exitcode == 0:
            return None
        try:
            error = self.said.recv() if self.said.poll() else None
        except EOFError:
            error = None
        if isinstance(error, GoodfitError):
            return error
        name = f"process {self.rank + 1} of the {count} that train together"
        if error is not None:
            return TrainingError(f"{name} failed: {error}")
        code = self.process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return TrainingError(f"{name} {how}; the others were ended too, and nothing was written")


def await_all(workers: list[Worker]) -> None:
    """Until all have ended; raise the cause of the first failure."""
    running = list(workers)
    while running:
        wait([worker.process.sentinel for worker in running])
        # Each code is asked for once: a process may end between two questions.
        codes = [worker.process.exitcode for worker in running]
        if any(codes):
            break
        running = [worker for worker, code in zip(running, codes, strict=True) if code is None]
    else:
        return
    for worker in running:
        worker.process.join(CAUSE_SECONDS)
    failures = [failure for worker in workers if (failure := worker.failure(len(workers))) is not None]
    raise min(failures, key=lambda failure: isinstance(failure, PeerError))


def _work(
    place: tuple[int, int, int],
    progress: Connection | None,
    sending: Connection,
    function: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    """In a new process: call the function as torchrun would start it, and say what it raises.

    Args:
        place: rank, number of processes, and port of the store through which they find each other.
        progress: where events of progress go.
        sending: where an error goes.
        function: what is called with `arguments`.
    """
    rank, count, port = place
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the process that launched this one ends it
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    os.environ |= {RANK: str(rank), LOCAL_RANK: str(rank), WORLD_SIZE: str(count), ADDRESS: "127.0.0.1", PORT: str(port)}
    # As for torchrun's own processes, the store is kept by the process that launched this one, so that its port cannot be taken.
    os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    os.environ.pop(EVENTS_VARIABLE, None)
    if progress is not None:
        os.environ[EVENTS_VARIABLE] = str(progress.fileno())
    try:
        function(*arguments)
    except GoodfitError as error:
        sending.send(error)
    except Exception as error:
        import traceback

        traceback.print_exc()
        sending.send(f"{type(error).__name__}: {error}")
    else:
        return
    _flush_and_end()


def _flush_and_end() -> None:
    """With exit code 1, and without the clean-up of a group whose other processes may wait for this one."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(1)


def _end_with_parent() -> None:
    """End this process at once when the one that launched it has ended, however that came."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
