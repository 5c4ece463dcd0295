"""`goodfit lineage bundle`: a record that an auditor checks without goodfit."""

import argparse
import json
from pathlib import Path

from flows.lineage.arguments import given, given_path

TEXT = (
    "Put a record and the files that it names into a folder or a zip file, with a script that checks them.\n\n"
    "Its verify.py needs Python's standard library alone, and openssl for the signature. It has the exit codes of\n"
    "`goodfit lineage verify`."
)
EXAMPLE = (
    "  goodfit lineage bundle --output record.zip\n"
    "  goodfit lineage bundle v1.0 --no-data --public-key release.pub --output record"
)


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "revision",
        metavar="REV",
        nargs="?",
        type=given,
        help="a commit, branch, tag or experiment (default: what lies in the working tree)",
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="FOLDER|FILE.zip",
        type=given_path,
        required=True,
        help="a new folder, or a new file with the ending .zip",
    )
    command.add_argument(
        "--no-data",
        dest="data",
        action="store_false",
        help="leave out data, models and code: the record, metrics and pages alone",
    )
    command.add_argument("--public-key", metavar="KEY.pub", type=given_path, help="put this key beside the signature")
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """Write a bundle."""
    from flows.lineage.signing.bundle import bundle

    made = bundle(root, options.output.absolute(), options.revision, data=options.data, public_key=options.public_key)
    if options.json:
        document = {
            "target": str(made.target),
            "files": made.files,
            "bytes": made.size,
            "data": made.data,
            "signed": made.signed,
        }
        print(json.dumps(document, indent=2))
        return 0
    print(
        f"{options.output}: {made.files} files, {made.size / 1e6:.1f} MB{'' if made.signed else '; the record is not signed'}"
    )
    return 0
