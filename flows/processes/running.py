"""The processes in which stages run: their output line by line, their events, and their end.

Each runs in a session of its own, so that Ctrl-C in the terminal reaches only the process that started it; that one then ends its
stages in order.
"""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

from flows.processes.watch import LEADER_VARIABLE, this_process
from tasks.core.progress import EVENTS_VARIABLE

INTERRUPT_SECONDS = 30.0
# A library's import or a destructor can swallow an interrupt: it is sent again.
REPEAT_SECONDS = 2.0
POLL_SECONDS = 0.1
# For output that is still in the pipe after the process has ended; a process that it left behind may keep the pipe open for ever.
DRAIN_SECONDS = 2.0
LAST_LINES = 20

Event = dict[str, Any]


@dataclass
class Ended:
    """How a command ended.

    `code` is its exit code (negative: the signal), `last_lines` are there where its output was read, `events` are those that say
    something else than progress.
    """

    code: int
    last_lines: list[str] = field(default_factory=list)
    events: Event = field(default_factory=dict)


class _Processes:
    """Those that run now."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self.ending = False
        self._lock = threading.Lock()

    @contextmanager
    def started(self, command: Any, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
        """Start a process, and end it if the block ends before it does.

        Raises:
            KeyboardInterrupt: the stages are being ended, and no other may start.
        """
        with self._lock:
            if self.ending:
                raise KeyboardInterrupt
            process = subprocess.Popen(command, **options)
            self._running.add(process)
        try:
            yield process
        finally:
            if process.poll() is None:
                _end([process], INTERRUPT_SECONDS)
            with self._lock:
                self._running.discard(process)

    def end(self, seconds: float) -> None:
        with self._lock:
            self.ending = True
            running = list(self._running)
        _end(running, seconds)

    def allow(self) -> None:
        with self._lock:
            self.ending = False


_processes = _Processes()


def end_stages(seconds: float = INTERRUPT_SECONDS) -> None:
    """Interrupt every stage that this process runs, which makes it remove its outputs; kill what still runs after `seconds`.

    No other stage starts until `allow_stages`.
    """
    _processes.end(seconds)


def allow_stages() -> None:
    """Stages may start again: a notebook goes on after an interrupted flow."""
    _processes.allow()


def stages_are_ending() -> bool:
    """Whether `end_stages` was called, and `allow_stages` not since."""
    return _processes.ending


def run_command(
    command: Any,
    environment: Mapping[str, str],
    output: Callable[[str], None] | None = None,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
    **options: Any,
) -> Ended:
    """Run a command and wait for it; the callbacks are called in this thread.

    Args:
        command: as `subprocess.Popen` takes it.
        environment: all of its variables.
        output: told each line of its standard output and error; with None, both are this process's.
        progress: told each event of its progress.
        options: for `subprocess.Popen`.
    """
    received: queue.SimpleQueue[str | Event] = queue.SimpleQueue()
    ended = Ended(0)
    last_lines: deque[str] = deque(maxlen=LAST_LINES)

    def handle(item: str | Event) -> None:
        if isinstance(item, str):
            last_lines.append(item)
            if output is not None:
                output(item)
        elif "done" not in item:
            ended.events |= item
        elif progress is not None:
            progress(item)

    variables = {**environment, LEADER_VARIABLE: str(this_process())}
    if output is not None:
        variables.setdefault("PYTHONUNBUFFERED", "1")  # its lines, while it runs
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    reading, writing = os.pipe()
    try:
        options |= {"pass_fds": (writing,), "start_new_session": True}
        with _processes.started(command, env={**variables, EVENTS_VARIABLE: str(writing)}, **options) as process:
            os.close(writing)
            writing = -1
            readers = [_reader(os.fdopen(reading, "rb"), received, _event)]
            if process.stdout is not None:
                readers.append(_reader(process.stdout, received, _line))
            _handle_until_the_end(process, readers, received, handle)
    finally:
        if writing >= 0:
            os.close(writing)
            os.close(reading)
    ended.code, ended.last_lines = process.returncode, list(last_lines)
    return ended


def _handle_until_the_end(
    process: "subprocess.Popen[bytes]",
    readers: list[threading.Thread],
    received: "queue.SimpleQueue[str | Event]",
    handle: Callable[[str | Event], None],
) -> None:
    drained = float("inf")  # until the process has ended
    while any(reader.is_alive() for reader in readers) and time.monotonic() < drained:
        with suppress(queue.Empty):
            handle(received.get(timeout=POLL_SECONDS))
        if drained == float("inf") and process.poll() is not None:
            drained = time.monotonic() + DRAIN_SECONDS
    process.wait()
    with suppress(queue.Empty):
        while True:
            handle(received.get_nowait())


def _reader(
    stream: IO[bytes], received: "queue.SimpleQueue[str | Event]", parse: Callable[[bytes], str | Event | None]
) -> threading.Thread:
    """A thread that puts what a stream says into the queue, until the stream ends."""

    def read() -> None:
        with stream:
            for line in stream:
                item = parse(line)
                if item is not None:
                    received.put(item)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _line(line: bytes) -> str:
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    return text.rpartition("\r")[2]  # of a progress bar, its last state


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:  # a foreign command wrote to the pipe, or was killed while it wrote
        return None
    return event if isinstance(event, dict) else None


def _end(processes: "list[subprocess.Popen[bytes]]", seconds: float) -> None:
    """Interrupt processes with all that they started, again and again; kill what has not ended after `seconds`."""
    deadline = time.monotonic() + seconds
    repeat = 0.0
    while left := [process for process in processes if process.poll() is None]:
        now = time.monotonic()
        if now >= deadline:
            for process in left:
                _signal(process, signal.SIGKILL)
                process.wait()
        elif now >= repeat:
            for process in left:
                _signal(process, signal.SIGINT)
            repeat = now + REPEAT_SECONDS
        time.sleep(POLL_SECONDS / 2)


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
