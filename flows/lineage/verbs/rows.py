"""`goodfit lineage rows`: which rows of the source trained the model."""

import argparse
import json
from pathlib import Path

from flows.lineage.arguments import given

TEXT = (
    "Tell which rows of the source trained the model. Or whether one row, or one file, was among them.\n\n"
    "A row has its number in the source's own order; --json lists all rows.\n\n"
    "exit codes: 0 done, and the row or file that was asked for was in train; 1 it was not; 2 could not look: nothing is\n"
    "recorded, or DVC's cache lacks the splits; also a usage error"
)
EXAMPLE = (
    "  goodfit lineage rows --row 17\n"
    "  goodfit lineage rows --file cats/0001.png --rev v1.0      in the training that the tag v1.0 records"
)
FAILURE = 2  # 1 is an answer


def add_options(command: argparse.ArgumentParser) -> None:
    what = command.add_mutually_exclusive_group()
    what.add_argument("--row", metavar="N", type=int, help="this row")
    what.add_argument("--file", metavar="NAME", type=given, help="this file of the source: its path, or the end of it")
    command.add_argument(
        "--rev", metavar="REV", type=given, help="a commit, branch, tag or experiment (default: the working tree's dvc.lock)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """Show the splits, or look for a row; exit code 1 where it was not in train."""
    from flows.lineage.printed import escaped, print_rich
    from flows.lineage.reading.rows import as_json, as_table, locate_file, locate_row, read_splits, sentence

    splits = read_splits(root, options.rev)
    asked = None
    if options.row is not None:
        asked = locate_row(splits, options.row)
    elif options.file is not None:
        asked = locate_file(splits, options.file)
    if options.json:
        print(json.dumps(as_json(splits, asked), indent=2))
    elif asked is None:
        print(f"The training of {escaped(splits.revision)}; rows are numbers of {escaped(splits.counted)}.")
        print_rich(as_table(splits))
    else:
        print("\n".join(sentence(splits, one) for one in asked))
    return int(asked is not None and not any(one.trained for one in asked))
