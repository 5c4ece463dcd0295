"""How far a stage is: a bar in a terminal, lines elsewhere, and events for whoever started the stage and asked for them."""

import json
import os
import stat
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

LINE_SECONDS = 10.0
FIRST_LINE_SECONDS = 2.0
EVENT_SECONDS = 0.25
# Names the file descriptor of an inherited pipe, into which each event is written as one line of JSON.
EVENTS_VARIABLE = "GOODFIT_PROGRESS_FD"


class Progress:
    """Counts the units of work that are done.

        with Progress("train", total=epochs, unit="epoch") as progress:
            for epoch in range(1, epochs + 1):
                ...
                progress.update(epoch, loss=loss)

    In a terminal it is a bar on standard error. Elsewhere it is a line on standard output after 2 s, then one every 10 s, and one at
    the end where there was one before. An event `{"stage", "done", "total", "unit", "seconds_left", "values"}` is written at most four
    times a second, and for the last unit.

    Args:
        stage: what is named at the start of the bar and of each line.
        total: how many units there are; fewer may be done.
        unit: what is counted, in the singular.
        steps: how many calls of `step` a unit takes; they move the bar within the unit.
        done: how many units an earlier run has done, from which this one continues.
    """

    def __init__(self, stage: str, total: int, unit: str, steps: int = 1, done: int = 0) -> None:
        self.stage, self.total, self.unit, self.steps = stage, total, unit, steps
        self.step: Callable[[], object] = _nothing
        self._done, self._values = done, dict[str, float]()
        self._before = done
        self._bar: Any = None
        self._pipe = events_pipe()
        self._started = self._last_line = time.monotonic()
        self._last_event = 0.0
        self._lines = 0
        self._line_is_due = self._event_is_due = False

    def __enter__(self) -> Self:
        self._started = self._last_line = time.monotonic()
        if sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            begun = self._done * self.steps
            self._bar = tqdm(
                total=self.total * self.steps, initial=begun, desc=self._named(self._done + 1), unit="step", dynamic_ncols=True
            )
            if self.steps > 1:
                self.step = self._bar.update
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is None:
            self._write(last=True)

    def advance(self, units: int = 1, **values: float | None) -> None:
        """So many more units are done; `values` are what was measured, by name."""
        self.update(self._done + units, **values)

    def update(self, done: int, **values: float | None) -> None:
        """In all, so many units are done; `values` are what was measured, by name."""
        self._done, self._values = done, {name: float(value) for name, value in values.items() if value is not None}
        self._line_is_due = self._event_is_due = True
        if self._bar is not None:
            self._bar.set_description(self._named(min(done + 1, self.total)), refresh=False)
            self._bar.set_postfix({name: f"{value:.4f}" for name, value in self._values.items()}, refresh=False)
            self._bar.update(done * self.steps - self._bar.n)
        self._write(last=False)

    def seconds_left(self) -> float:
        """At the pace so far."""
        return (time.monotonic() - self._started) / max(self._done - self._before, 1) * (self.total - self._done)

    def _write(self, last: bool) -> None:
        now = time.monotonic()
        long_enough = now - self._last_line >= (LINE_SECONDS if self._lines else FIRST_LINE_SECONDS)
        if self._line_is_due and self._bar is None and (long_enough or (last and self._lines)):
            print(self._line(last), flush=True)
            self._line_is_due, self._last_line = False, now
            self._lines += 1
        if self._event_is_due and self._pipe is not None and (last or now - self._last_event >= EVENT_SECONDS):
            self._send(self._pipe)
            self._event_is_due, self._last_event = False, now

    def _named(self, number: int) -> str:
        return f"{self.stage}: {self.unit} {number} of {self.total}"

    def _line(self, last: bool) -> str:
        values = "".join(f", {name} {value:.4f}" for name, value in self._values.items())
        left = "" if last or self._done >= self.total else f", about {self.seconds_left():.0f} s left"
        return f"{self._named(self._done)}{values}{left}"

    def _send(self, pipe: int) -> None:
        event = {
            "stage": self.stage,
            "done": self._done,
            "total": self.total,
            "unit": self.unit,
            "seconds_left": round(self.seconds_left(), 1),
            "values": self._values,
        }
        try:
            os.write(pipe, (json.dumps(event) + "\n").encode())
        except OSError:  # nobody listens any more
            self._pipe = None


def _nothing() -> None:
    """Without a bar, a step is not shown."""


def events_pipe() -> int | None:
    """The pipe for events, if it was inherited.

    The variable reaches processes that the pipe does not, and there its number may belong to a file that the stage writes.
    """
    named = os.environ.get(EVENTS_VARIABLE, "")
    try:
        return int(named) if named.isdecimal() and stat.S_ISFIFO(os.fstat(int(named)).st_mode) else None
    except (OSError, OverflowError):  # no open file has this number
        return None
