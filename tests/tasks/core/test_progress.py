"""The progress of a stage: what is printed and what is sent, where and how often."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tasks.core.progress import EVENTS_VARIABLE, Progress
from tests.conftest import ROOT


def test_a_quick_stage_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", total=150, unit="epoch") as progress:
        for epoch in range(1, 151):
            progress.update(epoch, loss=1 / epoch, val_loss=None)
    assert capsys.readouterr().out == ""  # its summary says what was reached


def test_a_slow_stage_prints_a_line_early_and_then_one_for_each_interval(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with Progress("train", total=12, unit="epoch") as progress:
        for epoch in range(1, 9):  # stops early
            now += 4
            progress.update(epoch)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "train: epoch 1 of 12, about 44 s left",
        "train: epoch 4 of 12, about 32 s left",
        "train: epoch 7 of 12, about 20 s left",
        "train: epoch 8 of 12",
    ]


def test_a_stage_that_fails_claims_no_last_unit(capsys: pytest.CaptureFixture[str]) -> None:
    def diverge() -> None:
        with Progress("train", total=2, unit="epoch") as progress:
            progress.advance()
            raise ValueError("the loss is nan")

    with pytest.raises(ValueError, match="the loss is nan"):
        diverge()
    assert capsys.readouterr().out == ""


def test_events_are_few_and_the_last_is_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv(EVENTS_VARIABLE, str(writing))
    with Progress("preprocess", total=1000, unit="image") as progress:
        for _ in range(1000):
            progress.advance(accuracy=0.5)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        events = [json.loads(line) for line in pipe]
    assert len(events) < 10
    assert events[-1] == {
        "stage": "preprocess",
        "done": 1000,
        "total": 1000,
        "unit": "image",
        "seconds_left": 0.0,
        "values": {"accuracy": 0.5},
    }


def test_a_listener_that_has_gone_disturbs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setenv(EVENTS_VARIABLE, str(writing))
    with Progress("train", total=1, unit="epoch") as progress:
        progress.advance()
    os.close(writing)


def test_a_file_that_has_the_number_of_a_pipe_that_was_not_inherited_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is inherited by every process, the pipe only by some: the number is then given to the first file opened."""
    output = tmp_path / "history.csv"
    with output.open("w") as file:
        monkeypatch.setenv(EVENTS_VARIABLE, str(file.fileno()))
        with Progress("train", total=1, unit="epoch") as progress:
            progress.advance(loss=1.0)
    assert output.read_text() == ""


@pytest.mark.parametrize("named", ["", "none", "-1", "9" * 30])
def test_a_variable_that_names_no_pipe_disturbs_nothing(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EVENTS_VARIABLE, named)
    with Progress("train", total=1, unit="epoch") as progress:
        progress.advance()


def test_a_pipe_that_was_closed_disturbs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    monkeypatch.setenv(EVENTS_VARIABLE, str(writing))
    with Progress("train", total=1, unit="epoch") as progress:
        progress.advance()


def test_a_terminal_shows_a_bar_that_names_epochs() -> None:
    script = (
        "from tasks.core.progress import Progress\n"
        "with Progress('train', total=2, unit='epoch', steps=3) as progress:\n"
        "    for epoch in (1, 2):\n"
        "        [progress.step() for _ in range(3)]\n"
        "        progress.update(epoch, loss=0.5)\n"
    )
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stderr=terminal, stdout=subprocess.PIPE, text=True, check=True
    )
    os.close(terminal)
    shown = os.read(screen, 65536).decode()
    os.close(screen)
    assert done.stdout == ""
    assert "train: epoch 2 of 2: 100%" in shown
    assert "6/6" in shown
    assert "loss=0.5000" in shown
