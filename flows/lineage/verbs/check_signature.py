"""`goodfit lineage check-signature`: whether the record is the one that was signed, or its reproduction."""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lineage.arguments import given, given_path

if TYPE_CHECKING:
    from flows.lineage.signing.signature import Wrong

TEXT = (
    "Check that the record is the one that a key signed, or with --result, that a key signed the result of reproducing it.\n\n"
    "exit codes: 0 signed, 1 mismatch, 2 missing (also a usage error), 3 no signature, 4 could not be checked"
)
EXAMPLE = (
    "  goodfit lineage check-signature --public-key release.pub\n"
    "  goodfit lineage check-signature --public-key auditor.pub --result result.json\n"
    "  goodfit lineage check-signature --public-key release.pub --rev v1.0      what the tag v1.0 records"
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
    either = command.add_mutually_exclusive_group()
    either.add_argument("--signature", metavar="FILE", type=given_path, help="another file than dvc.lock.dsse.json")
    either.add_argument(
        "--result",
        metavar="FILE",
        type=given_path,
        help="check what `goodfit lineage reproduce --key` wrote: signed, of this dvc.lock, of all its stages, and not failed",
    )
    command.add_argument(
        "--rev",
        metavar="REV",
        type=given,
        help="check the record of a commit, a tag or an experiment instead, by default with the signature that it holds",
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """Check the signature; the exit code is the gravest of what was found."""
    from flows.lineage.verification.revision import record_at

    with record_at(root, options.rev) as record:
        return _check_result(options, record) if options.result else _check_record(options, record)


def _check_record(options: argparse.Namespace, root: Path) -> int:
    from flows.lineage.printed import escaped
    from flows.lineage.signing.signature import SIGNATURE, Checked, signature

    path = options.signature.absolute() if options.signature else SIGNATURE
    found = signature(root, options.public_key, path)
    outcome = found.outcome if found else Checked.NO_SIGNATURE
    word = outcome.name.lower()
    if options.json:
        document = {"outcome": word, "keys": found.keys if found else [], "files": found.files if found else []}
        print(json.dumps(document | {"wrong": _as_json(found.wrong if found else [])}, indent=2))
        return outcome
    if found is None:
        print(escaped(f"no signature: {path} {_absent(root / path)}; `goodfit lineage sign` writes one"))
        return outcome
    for one in found.wrong:
        print(escaped(str(one)), file=sys.stderr)
    if outcome is Checked.SIGNED:
        print(f"signed: {len(found.files)} files are those that {_signers(found.keys)} signed")
    else:
        print(f"{word}: {len(found.wrong)} of what was signed {'does' if len(found.wrong) == 1 else 'do'} not hold")
    return outcome


def _check_result(options: argparse.Namespace, root: Path) -> int:
    from flows.lineage.printed import escaped
    from flows.lineage.signing.signature import Checked
    from flows.lineage.signing.signed_result import signed_result

    found = signed_result(root, options.public_key, options.result.absolute())
    outcome = found.outcome if found else Checked.NO_SIGNATURE
    word = outcome.name.lower()
    if options.json:
        said = asdict(found) | {"wrong": _as_json(found.wrong)} if found else {}
        print(json.dumps({"outcome": word} | said, indent=2))
        return outcome
    if found is None:
        absent = _absent(options.result.absolute())
        print(escaped(f"no signature: {options.result} {absent}; `goodfit lineage reproduce --key` writes one"))
        return outcome
    for one in found.wrong:
        print(escaped(str(one)), file=sys.stderr)
    if found.wrong:
        print(f"{word}: the result is not one that the keys signed of this dvc.lock")
        return outcome
    all_stages = len(found.stages) + len(found.lacking)
    tolerance = f" within a tolerance of {found.tolerance:g}" if found.tolerance else ""
    made = f"{len(found.stages)} of {all_stages} stages of this dvc.lock were made again{tolerance}"
    lacking = f"; not {', '.join(found.lacking)}" if found.lacking else ""
    print(escaped(f"{word}: {_signers(found.keys)} says that {made}: {found.result}{lacking}"))
    return outcome


def _signers(keys: list[str]) -> str:
    return " and ".join(f"key {key[:12]}" for key in keys)


def _absent(path: Path) -> str:
    return "is no regular file" if os.path.lexists(path) else "is missing"


def _as_json(wrong: "list[Wrong]") -> list[dict[str, Any]]:
    return [asdict(one) | {"kind": one.kind.name.lower()} for one in wrong]
