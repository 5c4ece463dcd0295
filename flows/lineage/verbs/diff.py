"""`goodfit lineage diff`: what differs between two recorded runs."""

import argparse
import json
from pathlib import Path

from flows.lineage.arguments import given

TEXT = (
    "Compare two recorded runs. Metrics with the interval of their difference, parameters, data, code, environment.\n\n"
    "A run is a commit, a branch, a tag or one of DVC's experiments; without AFTER it is what dvc.lock records here.\n\n"
    "exit codes: 0 done, whether or not they differ; 1 no such revision, or it records nothing; 2 usage error"
)
EXAMPLE = "  goodfit lineage diff main my-experiment"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("before", metavar="BEFORE", nargs="?", type=given, default="HEAD", help="a revision (default: HEAD)")
    command.add_argument("after", metavar="AFTER", nargs="?", type=given, help="a revision (default: the working tree)")
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """Compare two recorded runs."""
    from dataclasses import asdict

    from flows.lineage.reading.diff import as_text, diff
    from flows.lineage.statement import iso

    found = diff(root, options.before, options.after)
    print(json.dumps(asdict(found), indent=2, default=iso) if options.json else as_text(found))
    return 0
