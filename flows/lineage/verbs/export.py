"""`goodfit lineage export`: the recorded run in a format that other tools read."""

import argparse
from pathlib import Path

from flows.lineage.arguments import given
from flows.lineage.export.write import available

TEXT = (
    "Write the recorded run in a format that other tools read.\n\n"
    "It holds what dvc.lock and the statements record, and refuses a record that does not agree with itself. The files that it takes\n"
    "numbers from are hashed first; all others stay unread: `goodfit lineage verify` hashes every one.\n\n"
    "formats:\n" + "\n".join(f"  {name:<26}{module.TEXT}" for name, module in available().items())
)
EXAMPLE = "  goodfit lineage export --format model-card -o README.md"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--format", required=True, choices=list(available()), metavar="FORMAT", help="one of those above")
    command.add_argument(
        "-o", "--output", metavar="FILE", type=given, help="write here (default: standard output, where the format is one text)"
    )


def call(options: argparse.Namespace, root: Path) -> int:
    """Write the recorded run in one format."""
    from flows.lineage.export.recorded import read_recorded
    from flows.lineage.outputs import require_place

    if options.output is not None and "://" not in options.output:
        require_place(root, Path(options.output))
    available()[options.format].export(read_recorded(root), options.output)
    return 0
