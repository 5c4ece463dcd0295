"""`make kills N=100 SEED=0`: trainings killed with `kill -9` at random moments, one line for each recipe."""

import argparse
import sys

from tests.kills.campaign import RECIPES, campaign


def main() -> int:
    """Run the campaign: exit code 0 where every run that was continued ended with the bytes of one that was not killed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("-n", "--kills", type=int, default=100, help="in all, at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=300, help="of each training (default: %(default)s)")
    parser.add_argument("--recipe", choices=RECIPES, help="this recipe only")
    options = parser.parse_args()
    chosen = [options.recipe] if options.recipe else list(RECIPES)
    each = -(-options.kills // len(chosen))
    with campaign(options.seed) as trials:
        outcomes = []
        for recipe in chosen:
            outcomes.append(trials.trial(recipe, each, options.epochs))
            print(outcomes[-1], flush=True)
    kills, continued = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("kills", "continued"))
    differing = sum(len(outcome.differing) for outcome in outcomes)
    print(f"\n{kills} kills, {continued} runs continued from a checkpoint, {differing} files with differing bytes")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
