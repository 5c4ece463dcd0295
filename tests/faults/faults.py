"""The faults: each is done to a world at a random moment of a run, and says in words what it did; or is skipped, and says why."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.faults.world import STAGES, World


@dataclass
class Running:
    """A run that is under way, and what a fault may use."""

    world: World
    leader: "subprocess.Popen[bytes]"
    chance: random.Random
    start_another: "Callable[[], str]"  # another run through a random door, at the same time
    healing: "list[Callable[[], object]]" = field(default_factory=list)  # called after the run: the disk has room again


class Skipped(Exception):  # noqa: N818 (it is no error)
    """The fault could not be done here, or came too late: the trial shows nothing."""


Fault = Callable[[Running], str]


def signalled(kind: signal.Signals, target: str) -> Fault:
    """A signal to the process that was started (leader), to its whole group, or to a stage's process alone."""

    def fault(running: Running) -> str:
        stages = running.world.stage_processes()
        while target == "stage" and not stages and running.leader.poll() is None:
            time.sleep(0.02)  # between two stages
            stages = running.world.stage_processes()
        if running.leader.poll() is not None:
            raise Skipped("the run had ended")
        with suppress(ProcessLookupError):  # it ended in this very moment
            if target == "leader":
                running.leader.send_signal(kind)
            elif target == "group":
                os.killpg(running.leader.pid, kind)
            else:
                stages[0].send_signal(kind)
        return f"{kind.name} to the {target}"

    return fault


def everything_killed(running: Running) -> str:
    """As when the machine is switched off."""
    if running.leader.poll() is not None:
        raise Skipped("the run had ended")
    kill_everything(running)
    return "SIGKILL to every process at once"


def kill_everything(running: Running) -> None:
    for process in running.world.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    running.leader.wait()


def edited(file: str, old: str, new: str) -> Fault:
    """An edit in the middle of the run, as an editor saves it."""

    def fault(running: Running) -> str:
        path = running.world.root / file
        text = path.read_text()
        replaced = text.replace(old, new, 1) if old else text + new
        temporary = path.with_name(f"{path.name}.edited")
        temporary.write_text(replaced)
        temporary.replace(path)
        return f"edited {file}: {new.strip()!r}"

    return fault


def another_run(running: Running) -> str:
    return running.start_another()


def another_run_with_other_parameters(running: Running) -> str:
    path = running.world.root / "params.yaml"
    path.write_text(path.read_text().replace("factor: 2", "factor: 5"))
    return "edited params.yaml (factor: 5), then " + running.start_another()


def leader_killed_then_another_with_other_parameters(running: Running) -> str:
    """The orphan of the issue: the first run's stage must not touch what the second writes."""
    running.leader.kill()
    path = running.world.root / "params.yaml"
    path.write_text(path.read_text().replace("factor: 2", "factor: 7"))
    return "SIGKILL to the leader, edited params.yaml (factor: 7), then " + running.start_another()


def torn(pattern: str) -> Fault:
    """A file that was written half when the power went: cut off at a random byte. The run is killed first."""

    def fault(running: Running) -> str:
        kill_everything(running)
        file = _chosen(running, pattern)
        if file is None:
            raise Skipped(f"killed, but nothing was there to tear ({pattern})")
        content = file.read_bytes()
        _rewrite(file, content[: running.chance.randrange(max(1, len(content)))])
        return f"killed, and tore {file.relative_to(running.world.root)}"

    return fault


def flipped(pattern: str) -> Fault:
    """A byte changed in place."""

    def fault(running: Running) -> str:
        kill_everything(running)
        file = _chosen(running, pattern)
        if file is None or not file.stat().st_size:
            raise Skipped(f"killed, but nothing was there to flip ({pattern})")
        content = bytearray(file.read_bytes())
        content[running.chance.randrange(len(content))] ^= 0x01
        _rewrite(file, bytes(content))
        return f"killed, and flipped a byte of {file.relative_to(running.world.root)}"

    return fault


def removed(pattern: str) -> Fault:
    def fault(running: Running) -> str:
        kill_everything(running)
        file = _chosen(running, pattern)
        if file is None:
            raise Skipped(f"killed, but nothing was there to remove ({pattern})")
        file.unlink()
        return f"killed, and removed {file.relative_to(running.world.root)}"

    return fault


def stale_rwlock(running: Running) -> str:
    """An entry of a process that is dead, as a kill in the middle of a stage leaves it."""
    kill_everything(running)
    entry = f'{{"pid": {running.leader.pid}, "cmd": "killed"}}'
    out = running.world.root / "work/left.txt"
    path = running.world.root / ".dvc/tmp/rwlock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"write": {{"{out}": {entry}}}, "read": {{}}}}')
    return "killed, and left a lock entry of the dead process"


@contextmanager
def disk_of_its_own(folder: Path) -> Iterator[None]:
    """A file system of 16 MiB in memory at `folder`; where mounting is not allowed, the folder as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = _mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder))
    try:
        yield
    finally:
        if mounted:
            _unmount(folder)


def full_disk(running: Running) -> str:
    """Every free byte is taken until the run has ended."""
    root = running.world.root
    if not root.is_mount():
        raise Skipped("mounting is not allowed here")
    ballast = root / ".ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    running.healing.append(lambda: ballast.unlink(missing_ok=True))
    return f"filled the disk with {ballast.stat().st_size >> 10} KiB"


def read_only(name: str) -> Fault:
    """A folder that can no longer be written, until the run has ended."""

    def fault(running: Running) -> str:
        folder = running.world.root / name
        if not folder.is_dir():
            raise Skipped(f"{name} is not there")
        if not _mount("--bind", str(folder), str(folder)):
            raise Skipped("mounting is not allowed here")
        running.healing.append(lambda: _unmount(folder))
        _mount("-o", "remount,bind,ro", str(folder))
        return f"made {name} read-only"

    return fault


def server_gone(running: Running) -> str:
    """The Prefect server that the run reports to is killed."""
    port = str(urlsplit(running.world.variables.get("PREFECT_API_URL", "")).port)
    killed = [process for process in psutil.Process().children(recursive=True) if {"flows.server", port} <= {*_words(process)}]
    for process in killed:
        for child in (*process.children(recursive=True), process):
            with suppress(psutil.Error):
                child.kill()
    if not killed:
        raise Skipped("there is no Prefect server here")
    return f"killed the Prefect server ({len(killed)} process)"


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


def _chosen(running: Running, pattern: str) -> Path | None:
    files = sorted(file for file in running.world.root.glob(pattern) if file.is_file())
    return running.chance.choice(files) if files else None


def _rewrite(file: Path, content: bytes) -> None:
    """In place, as a failing disk does; DVC protects its cache by file modes."""
    mode = file.stat().st_mode
    file.chmod(0o644)
    file.write_bytes(content)
    file.chmod(mode)


FAULTS: dict[str, Fault] = {
    "kill leader": signalled(signal.SIGKILL, "leader"),
    "terminate leader": signalled(signal.SIGTERM, "leader"),
    "hang up leader": signalled(signal.SIGHUP, "leader"),
    "interrupt leader": signalled(signal.SIGINT, "leader"),
    "kill group": signalled(signal.SIGKILL, "group"),
    "terminate group": signalled(signal.SIGTERM, "group"),
    "interrupt group": signalled(signal.SIGINT, "group"),
    "hang up group": signalled(signal.SIGHUP, "group"),
    "kill stage": signalled(signal.SIGKILL, "stage"),
    "terminate stage": signalled(signal.SIGTERM, "stage"),
    "interrupt stage": signalled(signal.SIGINT, "stage"),
    "kill everything": everything_killed,
    "edit params": edited("params.yaml", "factor: 2", "factor: 3"),
    "edit code": edited("tasks/right.py", "", "\n# An edit.\n"),
    "edit code of all": edited("tasks/core/tensors.py", "", "\n# An edit.\n"),
    "edit data": edited("data/source.txt", "", "999\n"),
    "edit dvc.yaml": edited(
        "dvc.yaml", "deps:\n      - work/even.txt", "deps:\n      - data/source.txt\n      - work/even.txt"
    ),
    "two doors": another_run,
    "two doors, other parameters": another_run_with_other_parameters,
    "orphan": leader_killed_then_another_with_other_parameters,
    "torn rwlock": torn(".dvc/tmp/rwlock"),
    "torn lock file": torn("dvc.lock"),
    "torn temporary file": torn(".dvc/tmp/**/*"),
    "torn output": torn("work/*.txt"),
    "torn statement": torn("lineage/*.json"),
    "torn cache": torn(".dvc/cache/files/md5/*/*"),
    "torn run-cache": torn(".dvc/cache/runs/*/*/*"),
    "flipped output": flipped("work/*.txt"),
    "flipped statement": flipped("lineage/*.json"),
    "flipped cache": flipped(".dvc/cache/files/md5/*/*"),
    "removed output": removed("work/*.txt"),
    "removed cache": removed(".dvc/cache/files/md5/*/*"),
    "stale rwlock": stale_rwlock,
    "full disk": full_disk,
    "read-only outputs": read_only("work"),
    "read-only cache": read_only(".dvc/cache"),
    "server gone": server_gone,
}
ON_A_DISK = {"full disk"}  # these want a file system of their own
# Damage to the cache cannot be undone by any run: it must be told, or do no harm.
TOLD = {"torn cache", "flipped cache", "removed cache", "torn run-cache"}
SECONDS = 0.9 * len(STAGES)  # about as long as a run takes: the fault strikes at a random moment of it
FLOW_SECONDS = SECONDS + 4  # the flow imports Prefect and asks its server first
