"""`goodfit lineage find`: whether a file is one of ours."""

import argparse
import json
import sys
from pathlib import Path

from flows.lineage.arguments import given, given_path

TEXT = (
    "Find out by a file's bytes whether a recorded run read or wrote it. Which stages did, where, and in which runs.\n\n"
    "It searches every dvc.lock of Git's history (all branches and tags), of DVC's experiments and of the working tree, and\n"
    "the lists of folders and the statements in DVC's cache.\n\n"
    "exit codes: 0 found; 1 not found; 2 could not look: no such file, no Git repository; also a usage error"
)
EXAMPLE = "  goodfit lineage find ~/Downloads/model.safetensors"
FAILURE = 2  # 1 is an answer


def add_options(command: argparse.ArgumentParser) -> None:
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("file", metavar="FILE", nargs="?", type=given_path, help="a file or folder, anywhere")
    what.add_argument("--digest", metavar="HEX", type=given, help="its MD5 or SHA-256 instead")
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """Look for a file; exit code 1 where nothing has it."""
    from flows.lineage.printed import escaped, print_rich
    from flows.lineage.reading.find import as_json, as_table, digests_of, find, parsed_digest

    wanted = parsed_digest(options.digest) if options.digest is not None else digests_of(options.file)
    found = find(root, wanted)
    if options.json:
        print(json.dumps(as_json(found), indent=2))
        return int(not found.uses)
    name = escaped(str(options.file)) if options.file else "the file"
    if found.uses:
        print(f"found: {name} ({wanted})")
        print_rich(as_table(found))
    else:
        print(f"not found: no stage wrote or read {name} ({wanted}) in {found.searched} recorded runs")
    for sentence in found.not_seen:
        print(escaped(sentence), file=sys.stderr)
    return int(not found.uses)
