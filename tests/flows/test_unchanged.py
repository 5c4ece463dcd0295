"""Which stages a run finds unchanged before it starts any."""

import json
import os
from collections.abc import Callable

import pytest

from flows.selection import pipeline
from flows.unchanged import unchanged_stages
from tests.conftest import STAGES, Project

pytestmark = pytest.mark.slow


def unchanged(project: Project, say: Callable[[str], None] = print) -> frozenset[str]:
    return unchanged_stages(project.root, pipeline(project.root), STAGES, say)


def test_all_are_unchanged_after_a_run_and_those_behind_a_change_are_not(ran: Project) -> None:
    assert unchanged(ran) == set(STAGES)
    ran.edit("params.yaml", "calibration_bins: 15 ", "calibration_bins: 10 ")
    assert unchanged(ran) == set(STAGES) - {"evaluate", "explain", "report", "gates"}  # explain reads the predictions


def test_a_stage_that_dvc_yaml_no_longer_has_is_left_to_its_gate(ran: Project) -> None:
    graph = {**pipeline(ran.root), "gone": frozenset[str]()}
    assert "gone" not in unchanged_stages(ran.root, graph, [*STAGES, "gone"], print)


def test_where_dvc_cannot_tell_there_are_none(ran: Project) -> None:
    rwlock = ran.root / ".dvc/tmp/rwlock"
    rwlock.write_text("{torn")
    assert unchanged(ran) == frozenset()
    holder = {"pid": os.getppid(), "cmd": "another run"}
    held = {"write": {str(ran.root / "metrics/evaluation.json"): holder}, "read": {}}
    rwlock.write_text(json.dumps(held))
    assert unchanged(ran) == frozenset()
