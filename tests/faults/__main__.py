"""`make faults N=200 SEED=0`: random faults, one line for each trial, and a table at the end."""

import argparse
import sys
from collections import Counter

from tests.faults.campaign import campaign
from tests.faults.faults import FAULTS


def main() -> int:
    """Run the trials: exit code 0 where every invariant held in all of them, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("-n", "--trials", type=int, default=200, help="number of trials (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides faults, doors and moments (default: %(default)s)")
    parser.add_argument("--fault", choices=FAULTS, help="this fault only")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial, to repeat one (default: %(default)s)")
    parser.add_argument("--flow", action="store_true", help="also through the whole flow, with a Prefect server")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    mended = 0
    with campaign(options.seed, flow=options.flow) as trials:
        for number in range(options.first, options.first + options.trials):
            outcome = trials.trial(number, options.fault)
            counts[outcome.fault] += 1
            broken[outcome.fault] += bool(outcome.broken)
            skipped[outcome.fault] += bool(outcome.skipped)
            mended += bool(outcome.doctor)
            print(outcome, flush=True)
    print(f"\n{'fault':<30} trials  skipped  broken")
    for name in sorted(counts):
        print(f"{name:<30} {counts[name]:6}  {skipped[name]:7}  {broken[name]:6}")
    print(f"{'all':<30} {counts.total():6}  {skipped.total():7}  {broken.total():6}   ({mended} needed `goodfit doctor`)")
    return int(broken.total() > 0)


if __name__ == "__main__":
    sys.exit(main())
