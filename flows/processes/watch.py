"""A process that ends with the run that started it.

Killing `dvc repro` alone leaves its stage running. Minutes later such an orphan would find that its inputs have changed, and remove
the outputs of the run that had succeeded in the meantime. So every stage watches its leader: the process that decided to run it.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil

POLL_SECONDS = 0.2
CLOCK_TICK_SECONDS = 0.02
# The gate names itself here; `dvc repro` does not, and is found among the ancestors.
LEADER_VARIABLE = "GOODFIT_LEADER"
# DVC sets it for every command that it runs: without it a person started the stage, and there is no run to end with.
DVC_VARIABLE = "DVC_STAGE"
WATCHED_RUN = __file__  # run as a script, with a command behind it: see `run_watched`
SHELLS = {"sh", "ash", "bash", "dash", "fish", "ksh", "zsh"}


@dataclass(frozen=True)
class Identity:
    """A process, told from a later one with the same number by when it was created, in seconds since the system was started.

    Not by the clock, which may be set meanwhile.
    """

    pid: int
    created: float

    @classmethod
    def of(cls, process: psutil.Process) -> "Identity":
        return cls(process.pid, round(process.create_time() - psutil.boot_time(), 2))

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """The inverse of `str`."""
        pid, _, created = text.partition(":")
        return cls(int(pid), float(created))

    def __str__(self) -> str:
        return f"{self.pid}:{self.created}"

    def process(self) -> psutil.Process | None:
        """The process, if it is still there."""
        try:
            process = psutil.Process(self.pid)
            return process if abs(Identity.of(process).created - self.created) < CLOCK_TICK_SECONDS else None
        except psutil.Error:
            return None

    def is_alive(self) -> bool:
        """Whether it still runs."""
        process = self.process()
        return process is not None and is_running(process)


def is_running(process: psutil.Process) -> bool:
    """Whether a process still runs; a zombie has ended, though its parent has not yet collected it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def this_process() -> Identity:
    """This process, as those that it starts should know it."""
    return Identity.of(psutil.Process())


def find_leader() -> Identity | None:
    """The process whose end must be this one's end; None where a person started the stage.

    The gate names itself in the environment. With `dvc repro` it is the nearest ancestor that is not just a shell running our own
    command line. An ancestor of another session is not it: then DVC has ended already, and this process was handed to another parent.
    """
    named = os.environ.get(LEADER_VARIABLE)
    if named:
        return Identity.parse(named)
    if not os.environ.get(DVC_VARIABLE):
        return None
    leader = next((process for process in psutil.Process().parents() if not _is_our_shell(process)), None)
    if leader is None or not _in_this_session(leader):
        end_now()
    return Identity.of(leader)


def end_with_leader() -> Identity | None:
    """From now on, end this process at once when its leader has ended; return the leader, None where there is none."""
    leader = find_leader()
    if leader is not None:
        _follow(leader)
    return leader


def end_with_parent() -> None:
    """From now on, end this process at once when the process that started it has ended.

    For a flow that a Prefect worker starts: the stages watch the flow, and the flow its worker.
    """
    try:
        _follow(Identity.of(psutil.Process(os.getppid())))
    except psutil.NoSuchProcess:
        end_now()


def end_now() -> NoReturn:
    """End this process as `kill -9` does: nothing more is written or removed, its locks are free, the next run clears up."""
    os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    while True:  # the signal is on its way
        time.sleep(1)


def run_watched(command: list[str]) -> int:
    """Run a command that does not watch its leader; when the leader has ended, end it with all that it started.

    Both are in a session of their own, which the gate began for them. Returns the command's exit code, 128 + N for signal N as a
    shell does.
    """
    leader = find_leader()
    # The gate interrupts the whole session: the command decides what that means. A handler, unlike SIG_IGN, is not inherited.
    signal.signal(signal.SIGINT, lambda *_: None)
    process = subprocess.Popen(command, pass_fds=_inherited())
    while True:
        try:
            code = process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if leader is not None and not leader.is_alive():
                os.killpg(0, signal.SIGKILL)
        else:
            return code if code >= 0 else 128 - code


def _inherited() -> tuple[int, ...]:
    """The pipe for events of progress, which any command may write to."""
    named = os.environ.get("GOODFIT_PROGRESS_FD", "")
    return (int(named),) if named.isdecimal() else ()


def _follow(leader: Identity) -> None:
    if leader.pid == os.getppid():
        _ask_the_kernel()
    process = leader.process()  # after the kernel was asked: it may have ended before
    if process is None:
        end_now()
    threading.Thread(target=_poll, args=(process,), name="leader", daemon=True).start()


def _ask_the_kernel() -> None:
    """Linux ends this process together with its parent (man 2 PR_SET_PDEATHSIG), even while no Python code can run.

    The kernel means the thread that started this process: DVC's main thread and the gate's both wait for it.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


def _poll(leader: psutil.Process) -> None:
    while is_running(leader):
        time.sleep(POLL_SECONDS)
    end_now()


def _is_our_shell(process: psutil.Process) -> bool:
    """Whether a process is a shell that only runs the command line of this process, as DVC starts every command."""
    try:
        command = process.cmdline()
        words = shlex.split(command[-1])
    except (psutil.Error, IndexError, ValueError):
        return False
    return Path(command[0]).name.lstrip("-") in SHELLS and "-c" in command and words[1:] == sys.orig_argv[1:]


def _in_this_session(process: psutil.Process) -> bool:
    if not hasattr(os, "getsid"):  # Windows hands no process to another parent
        return True
    try:
        return os.getsid(process.pid) == os.getsid(0)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(run_watched(sys.argv[1:]))
