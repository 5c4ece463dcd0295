"""Run a module of this folder in a process of its own, and read the JSON object that it prints last."""

import json
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.workplace import LIMIT_SECONDS, ROOT, Workplace


@dataclass(frozen=True)
class Ran:
    """What one run of a stage took."""

    seconds: float  # of the stage's function
    loop: float | None  # of the training loop alone, in a stage that has one
    process: float  # with the start of Python and all imports
    threads: int
    peak_bytes: int  # the largest resident set


def said(
    place: Workplace, module: str, *arguments: str, limit_seconds: float = LIMIT_SECONDS, **variables: str
) -> dict[str, Any]:
    """What the module printed as its last line, and its `process` seconds; `variables` are added to its environment.

    Raises:
        RuntimeError: it did not end with 0.
    """
    done = place.run(
        sys.executable, "-m", f"benchmarks.{module}", *arguments, at=ROOT, limit_seconds=limit_seconds, **variables
    )
    return {**json.loads(done.printed.splitlines()[-1]), "process": done.seconds}
