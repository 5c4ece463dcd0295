"""Ctrl-C and SIGTERM while stages run: the stages are ended, clean up, and only then the flow ends."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

from prefect import get_run_logger
from prefect.futures import wait

TELL_AGAIN_SECONDS = 2.0


class StageThreads:
    """The threads in which stages run. Ctrl-C and SIGTERM reach only the main thread, and Prefect would wait for the others."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._ending = False
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """The current thread runs a stage in this block, which `interrupt` ends with KeyboardInterrupt."""
        thread = threading.get_ident()
        with self._lock:
            if self._ending:
                raise KeyboardInterrupt
            self._running.add(thread)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(thread)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in every thread that runs a stage, as soon as it is in Python code; none begins another."""
        with self._lock:
            self._ending = True
            for thread in self._running:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))

    def allow(self) -> None:
        """Stages may begin again: a notebook goes on after an interrupted flow."""
        with self._lock:
            self._ending = False


threads = StageThreads()


def end_stages(runs: dict[str, Any]) -> None:
    """End the stages that run, which removes their outputs, and wait for them; a second Ctrl-C leaves at once."""
    previous = signal.signal(signal.SIGINT, _leave)
    get_run_logger().warning("interrupted; ending the stages that run (Ctrl-C again leaves at once)")
    sys.unraisablehook = _not_of_interrupts
    try:
        left = [run.wrapped_future for run in runs.values()]
        while left:
            threads.interrupt()  # told again while a library's import or a destructor swallows it
            left = list(futures.wait(left, TELL_AGAIN_SECONDS).not_done)
        wait(list(runs.values()))
    finally:
        threads.allow()
        sys.unraisablehook = sys.__unraisablehook__
        signal.signal(signal.SIGINT, previous)


def _not_of_interrupts(unraisable: "sys.UnraisableHookArgs") -> None:
    """Where an interrupt meets a destructor, Python can only print it: it is no news, the stage is told again."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)


def _leave(*_: object) -> None:
    """Without waiting for any thread: a stage may be in a long call outside Python, a download asleep until it is tried again."""
    from prefect.server.api.server import SubprocessASGIServer

    SubprocessASGIServer().stop()
    os._exit(130)
