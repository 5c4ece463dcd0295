"""`python -m tests.tampering --histories 100`: honest histories at random, and every false alarm of `goodfit lineage verify`."""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.conftest import Project as Repository
from tests.conftest import _build_quick, _build_ran
from tests.tampering.histories import false_alarms


def main() -> int:
    """Exit code 1 where there was a false alarm."""
    parser = argparse.ArgumentParser(prog="python -m tests.tampering", description=__doc__)
    parser.add_argument("--histories", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--steps", type=int, default=8, help="of each (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the first (default: 0)")
    stated = parser.parse_args()
    alarms = 0
    with tempfile.TemporaryDirectory(prefix="goodfit-histories-") as folder:
        os.environ["PREFECT_HOME"] = f"{folder}/prefect"
        quick, ran = Path(folder) / "quick", Path(folder) / "ran"
        _build_quick(quick)
        _build_ran(ran, Repository(quick))
        for seed in range(stated.seed, stated.seed + stated.histories):
            place = Path(folder) / f"history-{seed}"
            place.mkdir()
            found = false_alarms(ran, place, seed, stated.steps)
            shutil.rmtree(place)
            alarms += bool(found)
            print("\n".join(found) or f"seed {seed}: no alarm in {stated.steps} steps", flush=True)
    print(f"{alarms} of {stated.histories} histories raised a false alarm")
    return int(alarms > 0)


if __name__ == "__main__":
    sys.exit(main())
