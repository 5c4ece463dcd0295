"""`goodfit lineage reproduce`: a recorded run made again from its commit alone."""

import argparse
import json
import math
import signal
import sys
from pathlib import Path

from flows.lineage.arguments import given, given_path

TEXT = (
    "Run a commit again in a clean clone and compare every output.\n\n"
    "The clone lies in a temporary folder with a cache of its own; the inputs are checked against dvc.lock before anything runs.\n\n"
    "exit codes: 0 bit-identical, 1 diverged, 2 usage error, 3 within tolerance, 4 could not be reproduced"
)
EXAMPLE = (
    "  goodfit lineage reproduce                                       the commit that is checked out\n"
    "  goodfit lineage reproduce v1.0 models/model.safetensors         a file of a tag, and what it was made from\n"
    "  goodfit lineage reproduce --tolerance 1e-6 --output result.json\n"
    "  goodfit lineage reproduce --key ~/keys/auditor.pem --output result.json"
)
FAILURE = 4  # 1 is a divergence


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "revision",
        metavar="REV",
        nargs="?",
        type=given,
        help="a commit, branch, tag or experiment (default: the commit that is checked out)",
    )
    command.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        type=given,
        help="only the stage that writes this file and those before it (default: everything)",
    )
    command.add_argument("--stage", metavar="STAGE", type=given, help="only this stage and those before it")
    command.add_argument(
        "--tolerance",
        metavar="T",
        type=_tolerance,
        default=0.0,
        help="accept a relative difference of at most T (absolute for numbers below 1), such as 1e-6 (default: 0), in tensors, tables "
        "and JSON; HTML pages are then not compared",
    )
    command.add_argument("--keep", action="store_true", help="keep the temporary folder, and say where it is")
    command.add_argument(
        "--output", metavar="FILE", type=given_path, help="write the result as an in-toto test-result statement"
    )
    command.add_argument(
        "--key", metavar="KEY.pem", type=given_path, help="sign that statement, as a DSSE envelope, with this private key"
    )
    command.add_argument(
        "--json", action="store_true", help="print JSON; what the stages print goes to standard error in any case"
    )


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a number of at least 0, such as 1e-6")
    return value


def call(options: argparse.Namespace, root: Path) -> int:
    """Reproduce a commit; the exit code is that of the outcome."""
    from flows.lineage.paths import relative_path
    from flows.lineage.reproduction.attested import write_test_result
    from flows.lineage.reproduction.reproduce import reproduce
    from flows.lineage.reproduction.reproduced import as_json, as_text
    from flows.lineage.signing.keys import private_key

    if options.path is not None and options.stage is not None:
        print("error: a path and --stage say the same; expected one of them", file=sys.stderr)
        return 2
    if options.key and not options.output:
        print("error: --key signs the result that --output FILE writes; expected both", file=sys.stderr)
        return 2
    key = private_key(options.key) if options.key else None  # before the work: it may be missing, or need a password
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = reproduce(
            root,
            options.revision,
            path=relative_path(options.path, root) if options.path is not None else None,
            stage=options.stage,
            tolerance=options.tolerance,
            keep=options.keep,
        )
    except KeyboardInterrupt:
        print("interrupted: the temporary folder is " + ("kept" if options.keep else "removed"), file=sys.stderr)
        return 130
    if options.output:
        write_test_result(options.output, root, found, key)
    print(json.dumps(as_json(found), indent=2) if options.json else as_text(found))
    return found.outcome
