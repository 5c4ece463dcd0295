"""Which threads an interrupt reaches; how a whole flow ends is tested with the flow."""

import pytest

from flows.interrupts import StageThreads


def test_after_an_interrupt_no_stage_begins_until_stages_are_allowed_again() -> None:
    threads = StageThreads()
    threads.interrupt()
    with pytest.raises(KeyboardInterrupt), threads.one():
        pytest.fail("a stage began")
    threads.allow()
    with threads.one():
        pass


def test_an_interrupt_ends_the_stage_that_runs() -> None:
    threads, went_on = StageThreads(), False

    def stage() -> None:
        nonlocal went_on
        with threads.one():
            threads.interrupt()
            for _ in range(1000):
                pass
            went_on = True

    with pytest.raises(KeyboardInterrupt):
        stage()
    assert not went_on
