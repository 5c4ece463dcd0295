"""Processes that train together without waiting for their imports."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing import forkserver

import pytest

# What such a process imports before it trains: 5 s of work each, with trainings of less than 1 s.
IMPORTED = [
    "tasks.train",
    "torch._dynamo",
    "torch.distributed.checkpoint.state_dict",
    "torch.distributed.fsdp",
    "tests.tasks.learning.test_distributed",
]


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """Ends the process that forks others, should a test have started it."""
    multiprocessing.set_forkserver_preload(IMPORTED)
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.fixture
def forked(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that `launch` starts are forked from one that has imported all; they print where that one did when it started."""
    context = multiprocessing.get_context
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context("forkserver" if method == "spawn" else method))
