"""The signature of `goodfit lineage sign` as what holds a record fast: whoever rewrites the record cannot sign it."""

from collections.abc import Sequence
from pathlib import Path

from flows.lineage.verification.outcome import Anchor, ExitCode, Mismatch


def check_signature(root: Path, public_keys: Sequence[Path]) -> tuple[list[Anchor], list[Mismatch]]:
    """The keys that signed dvc.lock and every statement, and what is not as they signed it; neither where no key was given.

    Raises:
        GoodfitError: a public key cannot be read.
    """
    if not public_keys:
        return [], []
    from flows.lineage.signing.signature import SIGNATURE, Checked, signature

    kinds = {Checked.MISMATCH: ExitCode.MISMATCH, Checked.MISSING: ExitCode.MISSING}
    found, place = signature(root, public_keys), SIGNATURE.as_posix()
    if found is None:
        none = "none: `goodfit lineage sign`"
        return [], [Mismatch("record", place, ExitCode.MISSING, "a signature of that key", none, "--public-key")]
    wrong = [Mismatch("record", one.path, kinds[one.kind], one.expected, one.found, "signature") for one in found.wrong]
    return ([] if wrong else [Anchor(f"the record signed by key {key}") for key in found.keys]), wrong
