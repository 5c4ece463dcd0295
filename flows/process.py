"""What a process that lives for one command may do differently from one that stays."""

import gc
import os
import sys
from typing import NoReturn


def collect_rarely() -> None:
    """Look for reference cycles rarely: Prefect, DVC and torch bring a million objects, and each full search walks over all of them.

    It took a fifth of the wait for a flow that has nothing to do. The numbers are mypy's, for the same reason.
    """
    gc.set_threshold(200_000, 30, 30)


def leave(code: int) -> NoReturn:
    """End the process at once, without exit handlers: taking torch's modules down one by one costs up to a second and saves nothing."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
