"""A score of random faults; `make faults N=…` runs as many as you like."""

from collections.abc import Iterator

import pytest

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


def judge(outcome: Outcome) -> None:
    assert outcome.broken == [], str(outcome)
    if outcome.skipped:
        pytest.skip(str(outcome))
