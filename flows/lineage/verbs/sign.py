"""`goodfit lineage sign`: a signature over the record."""

import argparse
import sys
from pathlib import Path

from flows.lineage.arguments import given, given_path

TEXT = (
    "Sign dvc.lock, dvc.yaml, params.yaml and every statement. Check them first with `goodfit lineage verify`.\n\n"
    "The signature is a DSSE envelope in dvc.lock.dsse.json: commit it with dvc.lock. Several people may sign the same record."
)
EXAMPLE = (
    "  goodfit lineage sign --key ~/keys/release.pem --new-key       make the key pair first\n"
    "  goodfit lineage sign --key ~/keys/release.pem\n"
    "  goodfit lineage sign --key ~/keys/release.pem --rev v1.0 -o v1.0.dsse.json\n"
    "  goodfit lineage sign --key ~/keys/model.pem --model-signing   the model itself, as the OpenSSF's tools verify it"
)


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--key",
        metavar="KEY.pem",
        type=given_path,
        required=True,
        help="the private key, as `openssl genpkey -algorithm ed25519` writes it",
    )
    command.add_argument(
        "--new-key", action="store_true", help="make the key, and the public one beside it with the ending .pub"
    )
    command.add_argument("-o", "--output", metavar="FILE", type=given_path, help="another file than dvc.lock.dsse.json")
    command.add_argument(
        "--rev", metavar="REV", type=given, help="sign the record of a commit, a tag or an experiment instead, into --output"
    )
    command.add_argument(
        "--model-signing",
        action="store_true",
        help="sign models/ into models/model.sig with the package model-signing (goodfit[signing]); its keys are ECDSA keys",
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def _sign(options: argparse.Namespace, root: Path) -> tuple[Path, list[str]]:
    """What was written, and what it covers."""
    from flows.lineage.outputs import require_place
    from flows.lineage.signing.model_signature import sign_model
    from flows.lineage.signing.signature import SIGNATURE, sign
    from flows.lineage.verification.revision import record_at

    if options.output:
        require_place(root, options.output)
    if options.model_signing:
        return sign_model(root, options.key), ["models/"]
    output = options.output.absolute() if options.output else SIGNATURE
    with record_at(root, options.rev) as record:
        files = sign(record, options.key, output)
    return root / output, files


def call(options: argparse.Namespace, root: Path) -> int:
    """Sign the record, or the model."""
    import json

    from flows.lineage.printed import escaped
    from flows.lineage.signing.keys import new_key

    if options.rev is not None and (options.model_signing or not options.output):
        print(
            "error: --rev signs the record of a revision into another file; expected --output, no --model-signing",
            file=sys.stderr,
        )
        return 2
    public = new_key(options.key, root, elliptic=options.model_signing) if options.new_key else None
    try:
        target, files = _sign(options, root)
    except BaseException:
        for made in (
            [options.key, public] if public else []
        ):  # nothing is signed with them, and the same command has to work again
            made.unlink(missing_ok=True)
        raise
    shown = target.relative_to(root).as_posix() if target.is_relative_to(root) else str(target)
    if options.json:
        print(json.dumps({"signature": shown, "files": files, "public_key": str(public) if public else None}, indent=2))
        return 0
    if public:
        print(f"made the private key {options.key} (keep it secret) and the public key {public} (share it)")
    if options.rev is not None:
        print(escaped(f"signed {len(files)} files of {options.rev}: give {shown} to whoever checks it, with --signature"))
        return 0
    print(f"signed {'models/' if options.model_signing else f'{len(files)} files'}: commit {shown}")
    return 0
