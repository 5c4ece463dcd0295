"""`goodfit lineage list`: every recorded run."""

import argparse
import json
import sys
from pathlib import Path

from flows.lineage.arguments import given

TEXT = (
    "List every recorded run. Verdict, metrics, the parameters that differ, and the digests of data and model.\n\n"
    "One row for each distinct dvc.lock of Git's history (all branches and tags) and DVC's experiments, and one for the\n"
    "working tree where it differs; the newest first. A metric is empty if the commit's file is not the one that its\n"
    "dvc.lock records, or if its stage has not run since its inputs were last written.\n\n"
    "exit codes: 0 done, also where there are no runs; 1 no Git repository; 2 usage error or unknown column"
)
EXAMPLE = "  goodfit lineage list --sort-by accuracy --reverse -n 10      the ten most accurate"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("-n", dest="number", metavar="N", type=_number, help="only the first N rows")
    command.add_argument(
        "--sort-by",
        metavar="COLUMN",
        type=given,
        help="date, verdict, …, a metric such as accuracy, or a parameter such as train.epochs",
    )
    command.add_argument("--reverse", action="store_true", help="reverse the order")
    command.add_argument("--json", action="store_true", help="print JSON, with all metrics and whole digests")


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a whole number of at least 1")
    return int(text)


def call(options: argparse.Namespace, root: Path) -> int:
    """List the runs; what cannot be seen is said on stderr."""
    from flows.lineage.printed import console, escaped, print_rich
    from flows.lineage.reading.list import arranged, as_json, collect, fitted
    from flows.lineage.statement import iso

    listing = collect(root)
    arranged_runs = arranged(listing, options.sort_by, options.reverse, options.number)
    if options.json:
        print(json.dumps(as_json(arranged_runs), indent=2, default=iso))
        return 0
    if listing.runs:
        made, left_out = fitted(arranged_runs, console().width)
        print_rich(made)
        notes = [left_out, *listing.not_seen]
    else:
        notes = ["No run is recorded yet: `dvc repro` or `goodfit run`, and then `git commit`.", *listing.not_seen]
    for note in filter(None, notes):
        print(escaped(note), file=sys.stderr)
    return 0
