"""The progress of work on many images; no bar where standard error is not a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(stage: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Give a function that is told how many more are done."""
    with tqdm(total=total, desc=stage, unit=unit, disable=None) as bar:
        yield bar.update
