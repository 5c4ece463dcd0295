"""What is shown while a stage runs."""

import io
import threading
import time
from typing import Any

import pytest

from flows.pages.progress import Bars, LiveArtifact, duration, percent, sentence

EVENT = {
    "stage": "train",
    "done": 12,
    "total": 150,
    "unit": "epoch",
    "seconds_left": 40.2,
    "values": {"loss": 0.03123, "val_accuracy": 0.9629},
}


def test_an_event_is_one_sentence() -> None:
    assert sentence(EVENT) == "epoch 12 of 150, loss 0.03123, val accuracy 0.9629, about 40 s left"
    assert sentence(EVENT | {"done": 150, "seconds_left": 0}) == "epoch 150 of 150, loss 0.03123, val accuracy 0.9629"
    assert sentence({"stage": "download", "done": 3}) == "step 3"


def test_percent_is_between_0_and_100_and_0_without_a_total() -> None:
    assert percent(EVENT) == pytest.approx(8.0)
    assert percent({"done": 7, "total": 5}) == 100.0
    assert percent({"done": 7}) == percent({"done": 7, "total": None}) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_a_duration_has_the_unit_that_a_person_would_use(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that an artifact sent, each of which takes the API a tenth of a second."""
    found: list[dict[str, Any]] = []

    def send(_: LiveArtifact, event: dict[str, Any]) -> None:
        time.sleep(0.1)
        found.append(event)

    monkeypatch.setattr(LiveArtifact, "_send", send)
    return found


def test_events_between_two_updates_are_dropped_and_the_last_is_shown(sent: list[dict[str, Any]]) -> None:
    artifact = LiveArtifact("train")
    started = time.monotonic()
    for done in range(1, 501):
        artifact.show(EVENT | {"done": done})
    assert time.monotonic() - started < 1, "showing holds the stage up"
    artifact.close()
    assert sent[-1]["done"] == 500
    assert len(sent) <= 3


def test_a_stage_that_reports_nothing_starts_no_thread() -> None:
    before = threading.active_count()
    artifact = LiveArtifact("report")
    artifact.close()
    assert threading.active_count() == before


def test_an_api_that_fails_or_hangs_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(LiveArtifact, "_send", fail)
    artifact = LiveArtifact("train")
    artifact.show(EVENT)
    artifact.close()

    released = threading.Event()
    monkeypatch.setattr(LiveArtifact, "_send", lambda *_: released.wait(60))
    monkeypatch.setattr("flows.pages.progress.LAST_UPDATE_SECONDS", 0.2)
    hanging = LiveArtifact("train")
    hanging.show(EVENT)
    started = time.monotonic()
    hanging.close()
    assert time.monotonic() - started < 10
    released.set()


def test_a_bar_has_the_stage_the_count_and_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    bars = Bars()
    bars("train", EVENT | {"done": 1})
    time.sleep(0.2)  # tqdm draws ten times per second
    bars("train", EVENT)
    bars("train", None)
    bars("report", None)  # it reported nothing: there is no bar
    drawn = terminal.getvalue()
    assert "train:" in drawn
    assert "epoch 12/150" in drawn
    assert "loss 0.0312, val accuracy 0.963" in drawn
