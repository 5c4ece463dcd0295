"""A score of random faults; `make faults N=…` runs as many as you like."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.campaign import Campaign, Outcome, campaign

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trials() -> Iterator[Campaign]:
    with campaign(seed=2026) as started:
        yield started


@pytest.mark.parametrize("number", range(20))
def test_the_run_after_a_fault_ends_as_if_nothing_had_happened(trials: Campaign, number: int) -> None:
    judge(trials.trial(number))


@pytest.mark.parametrize("fault", ["orphan", "torn rwlock", "stale rwlock", "torn lock file", "full disk", "server gone"])
def test_the_faults_that_were_reported_are_recovered_from(trials: Campaign, fault: str) -> None:
    judge(trials.trial(1000, fault))


def test_the_command_counts_a_fault_that_cannot_be_done_apart(tmp_path: Path) -> None:
    """As a user who may not mount, and outside of pytest."""
    (tmp_path / "mount").write_text("#!/bin/sh\nexit 32\n")
    (tmp_path / "mount").chmod(0o755)
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    variables["PATH"] = f"{tmp_path}{os.pathsep}{variables['PATH']}"
    command = [sys.executable, "-m", "tests.faults", "--trials", "1", "--fault", "full disk"]
    printed = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True).stdout
    assert "skipped, mounting is not allowed here" in printed
    assert [line.split() for line in printed.splitlines() if line.startswith("full disk ")] == [["full", "disk", "1", "1", "0"]]


def judge(outcome: Outcome) -> None:
    assert outcome.broken == [], str(outcome)
    if outcome.skipped:
        pytest.skip(str(outcome))
