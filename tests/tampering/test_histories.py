"""No false alarm: a few honest histories; `python -m tests.tampering` lives a hundred."""

from pathlib import Path

import pytest

from tests.conftest import Project
from tests.tampering.histories import OUTPUT, History, false_alarms
from tests.tampering.world import remove

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(3))
def test_an_honest_history_raises_no_alarm(ran: Project, tmp_path: Path, seed: int) -> None:
    assert false_alarms(ran.root, tmp_path, seed, steps=6) == []


def test_a_false_alarm_is_told_with_what_was_done(ran: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be one: a step that damages an output."""
    monkeypatch.setattr("tests.tampering.histories.STEPS", {"damage": damage})
    (line,) = false_alarms(ran.root, tmp_path, seed=0, steps=2)
    assert line.startswith(f"seed 0: after damage: preprocess: {OUTPUT}: statement has sha256 ")


def damage(lived: History) -> None:
    remove(lived.root / OUTPUT)
    (lived.root / OUTPUT).write_text("{}")
