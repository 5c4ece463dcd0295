"""`goodfit lineage export`: the recorded run in a format that other tools read."""

import argparse
from pathlib import Path

from flows.lineage.arguments import given
from flows.lineage.export.write import available

TEXT = (
    "Write the recorded run in a format that other tools read. Of the working tree, or of a revision.\n\n"
    "It holds what dvc.lock and the statements record, and refuses a record that does not agree with itself. The files that it takes\n"
    "numbers from are hashed first; all others stay unread: `goodfit lineage verify` hashes every one.\n\n"
    "formats:\n" + "\n".join(f"  {name:<26}{module.TEXT}" for name, module in available().items())
)
EXAMPLE = (
    "  goodfit lineage export --format model-card -o README.md\n"
    "  goodfit lineage export --format cyclonedx --rev v1.0 -o bom.json      the run that the tag v1.0 records"
)


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--format", required=True, choices=list(available()), metavar="FORMAT", help="one of those above")
    command.add_argument(
        "-o", "--output", metavar="FILE", type=given, help="write here (default: standard output, where the format is one text)"
    )
    command.add_argument(
        "--rev",
        metavar="REV",
        type=given,
        help="of a commit, branch, tag or experiment (default: what lies in the working tree)",
    )


def call(options: argparse.Namespace, root: Path) -> int:
    """Write the recorded run in one format."""
    from flows.lineage.export.recorded import recorded_at
    from flows.lineage.outputs import require_place

    if options.output is not None and "://" not in options.output:
        require_place(root, Path(options.output))
    with recorded_at(root, options.rev) as recorded:
        available()[options.format].export(recorded, options.output)
    return 0
