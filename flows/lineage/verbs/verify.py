"""`goodfit lineage verify`: every byte is hashed again."""

import argparse
import json
import sys
from pathlib import Path

TEXT = (
    "Hash every file again and compare with the record.\n\n"
    "exit codes: 0 proven, 1 mismatch, 2 missing (also a usage error), 3 no statement, 4 could not be checked"
)
EXAMPLE = "  goodfit lineage verify report/index.html"
FAILURE = 4  # 1 is a mismatch
MISMATCHES = 20  # lines on the terminal: where a folder is gone, each of its files is a mismatch


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="PATH", nargs="?", help="a file that a stage writes (default: everything)")
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """Verify a file, or everything; the exit code is the gravest of what was found."""
    from flows.lineage.paths import output_path
    from flows.lineage.verify import verify

    result = verify(root, output_path(options.path, root) if options.path else None)
    if options.json:
        mismatches = [vars(mismatch) | {"kind": mismatch.kind.name.lower()} for mismatch in result.mismatches]
        summary = {
            "outcome": result.exit_code.name.lower(),
            "stages": result.stages,
            "files": result.files,
            "mismatches": mismatches,
        }
        print(json.dumps(summary, indent=2))
        return result.exit_code
    for mismatch in result.mismatches[:MISMATCHES]:
        print(mismatch, file=sys.stderr)
    if len(result.mismatches) > MISMATCHES:
        print(f"and {len(result.mismatches) - MISMATCHES} more; --json lists them all", file=sys.stderr)
    outcome = result.exit_code.name.lower().replace("_", " ")
    wrong = len({mismatch.path for mismatch in result.mismatches})
    outcome += f": {wrong} {'item does' if wrong == 1 else 'items do'} not match what was recorded" if wrong else ""
    print(f"{outcome}: {result.files} files of {len(result.stages)} stages hashed again")
    return result.exit_code
