"""A clock on the training loop alone, inside the stage `train`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.contracts.trained import Epoch
from tasks.learning import loop


@contextmanager
def loop_seconds() -> Iterator[list[float]]:
    """Collect the seconds of each call of `tasks.learning.loop.fit` in the block.

    The stage looks the function up when it is called. So what is timed is the loop that it really runs: preparing the batches, the
    steps, and what is recorded at the end of each epoch; not imports, reading the splits, building the model or writing the results.
    """
    fit, seconds = loop.fit, list[float]()

    def timed(*arguments: Any, **options: Any) -> list[Epoch]:
        begin = time.perf_counter()
        history = fit(*arguments, **options)
        seconds.append(time.perf_counter() - begin)
        return history

    loop.fit = timed
    try:
        yield seconds
    finally:
        loop.fit = fit
