"""`goodfit lineage show`: the tree behind a file."""

import argparse
import json
from pathlib import Path

from flows.lineage.arguments import given

TEXT = (
    "Show the tree from a file back to raw data, code, parameters and environment.\n\n"
    "Starts with the run's verdict and metrics, the commit that first recorded it, and the local journal entry, if any.\n"
    "The code and the environment of all stages are shown once, below the tree.\n\n"
    "exit codes: 0 done; 1 no stage writes the file, it does not exist, or a statement is missing; 2 usage error"
)
EXAMPLE = "  goodfit lineage show models/model.safetensors\n  goodfit lineage show metrics/evaluation.json --rev my-experiment"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "path", metavar="PATH", nargs="?", type=given, help="a file that a stage writes (default: report/index.html)"
    )
    command.add_argument(
        "--rev", metavar="REV", type=given, help="as of a commit, branch, tag or experiment (default: the working tree)"
    )
    command.add_argument("--all", action="store_true", help="list every file of large folders")
    command.add_argument("--json", action="store_true", help="print JSON, with every file and complete digests")


def call(options: argparse.Namespace, root: Path) -> int:
    """Show the tree behind a file."""
    from flows.lineage.paths import output_path, relative_path
    from flows.lineage.printed import print_rich
    from flows.lineage.reading.show import common, render, show
    from flows.lineage.reading.summary import as_json, as_lines, summarise

    path = "report/index.html"
    if options.path is not None:
        path = relative_path(options.path, root) if options.rev is not None else output_path(options.path, root)
    node = show(root, path, options.rev)
    summary = summarise(root, path, options.rev)
    if options.json:
        print(json.dumps(node | {"summary": as_json(summary)}, indent=2))
        return 0
    print("\n".join(as_lines(summary)))
    print_rich("", render(node, options.all), *common(node, options.all))
    return 0
