"""`python -m benchmarks [NAME …]`: measure the figures and print them; exit code 0 unless one broke, goals missed or not.

Each figure is a module with a function `measure`, whose docstring states what counts in the time, against which peer, how often.
"""

import argparse
import os
import platform
import signal
import sys
import time
import traceback
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from benchmarks.mnist import missing
from benchmarks.side_by_side import Figure, NotMeasured, markdown
from tasks.core.cores import cores

FIGURES = ("noop_repro", "noop_flow", "cold_run", "textbook_loop", "linear_accuracy", "mnist_fast", "diagnosis", "verify")


def main(arguments: list[str] | None = None) -> int:
    """Measure one figure after another; one that breaks does not keep the others from being measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)} (default: all)")
    names = parser.parse_args(arguments).names or FIGURES
    if unknown := [name for name in names if name not in FIGURES]:
        parser.error(f"unknown figure '{unknown[0]}'; expected {', '.join(FIGURES)}")
    signal.signal(signal.SIGTERM, _leave)
    print(machine(), flush=True)
    if why := missing():
        print(f"without MNIST some figures are left out: {why}", flush=True)
    begin, figures, broken = time.perf_counter(), list[Figure](), list[str]()
    try:
        for name in names:
            broken += [] if measured(name, figures) else [name]
    except KeyboardInterrupt:
        return 130
    print(f"\n{markdown(figures)}\n\n{machine()}; {time.perf_counter() - begin:.0f} s in all", flush=True)
    return int(bool(broken))


def measured(name: str, figures: list[Figure]) -> bool:
    """Measure and print a module's figures, and add them to the list; False, with the reason on standard error, when it broke."""
    try:
        for line in import_module(f"benchmarks.{name}").measure():
            print(line, flush=True)
            if not isinstance(line, str):
                figures.append(line)
    except Exception:
        figures.append(NotMeasured(name, "broke, see above"))
        print(figures[-1], flush=True)
        traceback.print_exc()
        return False
    return True


def machine() -> str:
    """What the figures depend on."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{cpu()}, {cores()} cores, Python {platform.python_version()}, torch {version('torch')}, load average {load}"


def cpu() -> str:
    """The CPU's model as Linux names it, else as Python does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _leave(*_: object) -> None:
    """End by an exception, so that servers are stopped and folders removed."""
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
