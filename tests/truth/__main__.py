"""`make truth`: worlds with a known answer, many seeds each; how often the diagnosis is right, printed and written to the page."""

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/diagnosis-truth.md"


def main() -> int:
    """Run the worlds, and print and write the page, which names the goals that are missed."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process on each core
    from tests.truth.campaign import campaign
    from tests.truth.page import page
    from tests.truth.worlds import WORLDS

    names = [world.name for world in WORLDS]
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument("-n", "--seeds", type=int, default=20, help="of each world (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: the cores, %(default)s)")
    parser.add_argument("--world", choices=names, action="append", help="this world only; may be repeated")
    parser.add_argument("--write", type=Path, help="the page (default: docs/diagnosis-truth.md, where all worlds are run)")
    options = parser.parse_args()
    chosen = options.world or names
    seeds = range(options.first, options.first + options.seeds)

    begun, outcomes = time.monotonic(), []
    for outcome in campaign(chosen, seeds, options.jobs):
        outcomes.append(outcome)
        if outcome.seed == seeds[-1]:
            own = [other for other in outcomes if other.world == outcome.world]
            said = ", ".join(f"{verdict} {count}" for verdict, count in Counter(other.verdict for other in own).most_common())
            train, check = (
                sum(getattr(other, part) for other in own) / len(own) for part in ("train_seconds", "check_seconds")
            )
            print(
                f"{len(outcomes):4}/{len(chosen) * len(seeds)}  {outcome.world:<34} {said}  "
                f"({train:.1f} s to train, {check:.1f} s to examine)",
                flush=True,
            )
    text = page(outcomes, len(seeds))
    print(f"\n{text}\n{len(outcomes)} runs in {time.monotonic() - begun:.0f} s with {options.jobs} processes")
    target = options.write or (None if options.world else PAGE)
    if target is not None:
        target.write_text(text, encoding="utf-8")
        print(f"written to {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
