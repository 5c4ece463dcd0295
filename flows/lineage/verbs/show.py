"""`goodfit lineage show`: the tree behind a file."""

import argparse
import json
from pathlib import Path

TEXT = "Show the tree from a file back to raw data, code, parameters and environment."
EXAMPLE = "  goodfit lineage show models/model.safetensors"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "path", metavar="PATH", nargs="?", default=None, help="a file that a stage writes (default: report/index.html)"
    )
    command.add_argument("--json", action="store_true", help="print JSON, with complete digests")


def call(options: argparse.Namespace, root: Path) -> int:
    """Show the tree behind a file."""
    from flows.lineage.paths import output_path
    from flows.lineage.show import render, show

    node = show(root, output_path(options.path, root) if options.path else "report/index.html")
    if options.json:
        print(json.dumps(node, indent=2))
    else:
        from rich.console import Console

        console = Console(highlight=False)
        with console.capture() as captured:
            console.print(render(node), width=None if console.is_terminal else 400)  # a pipe's reader wants whole lines
        print(captured.get(), end="")
    return 0
