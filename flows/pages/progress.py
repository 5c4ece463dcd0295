"""How far a running stage is: bars in a terminal, a live artifact on Prefect's pages.

A stage reports events: {"stage", "done", "total", "unit", "seconds_left", "values": {"loss": …}}. They arrive on a thread that reads
the stage's output, at most four per second; nothing here may hold that thread up, or fail.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from tqdm import tqdm

Event = Mapping[str, Any]
UPDATE_SECONDS = 1.0
LAST_UPDATE_SECONDS = 3.0  # how long a finished stage waits for its last state to be shown

# Set by the terminal: called with every event, and with None and the stage's name when the stage has ended.
draw: ContextVar[Callable[[str, Event | None], None] | None] = ContextVar("draw", default=None)


@contextmanager
def shown(stage: str) -> Iterator[Callable[[Event], None]]:
    """Show the progress of a stage while the block runs; the block calls what it is given with each event."""
    bar = draw.get()
    artifact = LiveArtifact(stage)

    def show(event: Event) -> None:
        artifact.show(event)
        if bar:
            bar(stage, event)

    try:
        yield show
    finally:
        artifact.close()
        if bar:
            bar(stage, None)


def percent(event: Event) -> float:
    """Between 0 and 100; 0 where the total is not known."""
    total = event.get("total") or 0
    return min(100.0, round(100.0 * event["done"] / total, 1)) if total else 0.0


def sentence(event: Event) -> str:
    """`epoch 12 of 150, loss 0.0312, accuracy 0.9629, about 40 s left`."""
    of = f" of {event['total']}" if event.get("total") else ""
    parts = [f"{event.get('unit') or 'step'} {event['done']}{of}"]
    parts += [f"{name.replace('_', ' ')} {value:.4g}" for name, value in (event.get("values") or {}).items()]
    if event.get("seconds_left") and event["done"] < (event.get("total") or 0):
        parts.append(f"about {duration(event['seconds_left'])} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """`0.4 s`, `40 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class LiveArtifact:
    """A progress artifact of the current task run, written by a thread of its own: a slow or absent API does not slow the stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._latest: Event | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._id: UUID | None = None

    def show(self, event: Event) -> None:
        """Take an event; an earlier one that was not shown yet is dropped."""
        with self._changed:
            self._latest = event
            if self._thread is None:  # most stages report nothing, and an unchanged one does not even run
                context = copy_context()  # the artifact belongs to this task run
                self._thread = threading.Thread(target=lambda: context.run(self._write), daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Wait a moment until the last state is shown."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join(LAST_UPDATE_SECONDS)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._latest or self._closed)
                event, self._latest = self._latest, None
            if event is None:
                return
            try:
                self._send(event)
            except Exception as error:
                logging.getLogger("prefect").debug("the progress of %s is not shown: %s", self._stage, error)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, UPDATE_SECONDS)

    def _send(self, event: Event) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        if self._id is None:
            key = "progress-" + "".join(letter if letter.isalnum() else "-" for letter in self._stage.lower())
            self._id = create_progress_artifact(percent(event), key=key, description=self._text(event))  # type: ignore[assignment]  # its coroutine is for callers in an event loop
        else:
            update_progress_artifact(self._id, percent(event), description=self._text(event))

    def _text(self, event: Event) -> str:
        return f"{self._stage}: {sentence(event)}"


class Bars:
    """A bar on standard error for each stage that reports progress."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm[Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, stage: str, event: Event | None) -> None:
        with self._lock:
            if event is None:
                bar = self._bars.pop(stage, None)
                if bar is not None:
                    bar.close()
                return
            bar = self._bars.get(stage)
            if bar is None:
                bar = self._bars[stage] = self._bar(stage, event)
            bar.total = event.get("total")
            bar.set_postfix_str(
                ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in (event.get("values") or {}).items()), False
            )
            bar.update(event["done"] - bar.n)

    @staticmethod
    def _bar(stage: str, event: Event) -> "tqdm[Any]":
        from tqdm import tqdm

        # A bar of fixed length: the values need the room, and their length changes.
        unit = event.get("unit") or "step"
        shape = "{desc}: {percentage:3.0f}%|{bar:10}| " + unit + " {n_fmt}/{total_fmt}, {remaining} left{postfix}"
        total = event.get("total")
        layout = shape if total else None
        return tqdm(total=total, desc=stage, bar_format=layout, file=sys.stderr, leave=False, dynamic_ncols=True)


@contextmanager
def bars() -> Iterator[None]:
    """Draw bars in this block if standard error is a terminal; log lines are printed above them."""
    if not sys.stderr.isatty():
        yield
        return
    token = draw.set(Bars())
    handlers = [handler for handler in console_handlers() if not isinstance(handler.emit, _AboveBars)]
    for handler in handlers:
        handler.emit = _AboveBars(handler.emit)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for handler in handlers:
            del handler.emit
        draw.reset(token)


class _AboveBars:
    """Writes a log record where the bars are, and draws the bars again below it."""

    def __init__(self, emit: Callable[[logging.LogRecord], None]) -> None:
        self._emit = emit

    def __call__(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        with tqdm.external_write_mode(file=sys.stderr):
            self._emit(record)


def console_handlers() -> list[logging.Handler]:
    """Those of Prefect's loggers that write to the terminal."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "prefect"]
    found = {handler: None for name in names for handler in logging.getLogger(name).handlers}
    return [handler for handler in found if isinstance(handler, logging.StreamHandler)]
