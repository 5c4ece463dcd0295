"""The cores of this machine."""

import os


def cores() -> int:
    """How many this process may use: fewer than the machine has where it is bound to some of them, as a container can be."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
