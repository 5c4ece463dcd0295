"""`goodfit lineage check-signature`: whether the record is the one that was signed."""

import argparse
import os
import sys
from pathlib import Path

from flows.lineage.arguments import given_path

TEXT = (
    "Check that the record is the one that a key signed, or that a key signed the result of reproducing it.\n\n"
    "exit codes: 0 signed, 1 mismatch, 2 missing (also a usage error), 3 no signature, 4 could not be checked"
)
EXAMPLE = (
    "  goodfit lineage check-signature --public-key release.pub\n"
    "  goodfit lineage check-signature --public-key auditor.pub --signature result.json"
)
FAILURE = 4  # 1 is a mismatch


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--public-key",
        metavar="KEY.pub",
        type=given_path,
        action="append",
        required=True,
        help="the public key of a required signer, received from them and not from this repository; may be repeated: all must have "
        "signed",
    )
    command.add_argument(
        "--signature",
        metavar="FILE",
        type=given_path,
        help="another file than dvc.lock.dsse.json, such as a reproduction's result",
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """Check the signature; the exit code is the gravest of what was found."""
    import json
    from dataclasses import asdict

    from flows.lineage.lock import LOCK_FILE
    from flows.lineage.printed import escaped
    from flows.lineage.signing.signature import SIGNATURE, Checked, signature

    path = options.signature.absolute() if options.signature else SIGNATURE
    found = signature(root, options.public_key, path if options.signature else None)
    outcome = found.outcome if found else Checked.NO_SIGNATURE
    word = outcome.name.lower()
    if options.json:
        wrong = [asdict(one) | {"kind": one.kind.name.lower()} for one in found.wrong] if found else []
        document = {"outcome": word, "keys": found.keys if found else [], "files": found.files if found else [], "wrong": wrong}
        document |= {"result": found.result} if found and found.result else {}
        print(json.dumps(document, indent=2))
        return outcome
    if found is None:
        no_file = os.path.lexists(root / path)
        what = "is no regular file" if no_file else "is missing"
        print(escaped(f"no signature: {path} {what}; `goodfit lineage sign` writes one"))
        return outcome
    for one in found.wrong:
        print(escaped(str(one)), file=sys.stderr)
    if outcome is Checked.SIGNED and found.result:
        signers = " and ".join(f"key {key[:12]}" for key in found.keys)
        print(escaped(f"signed: {signers} says of this {LOCK_FILE} that its reproduction {found.result}"))
    elif outcome is Checked.SIGNED:
        print(f"signed: {len(found.files)} files are those that {' and '.join(f'key {key[:12]}' for key in found.keys)} signed")
    else:
        print(f"{word}: {len(found.wrong)} of what was signed {'does' if len(found.wrong) == 1 else 'do'} not hold")
    return outcome
