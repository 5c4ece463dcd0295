"""The signed result of a reproduction: who says what of which dvc.lock."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.lineage.lock import LOCK_FILE, read_lock
from flows.lineage.signing.auditor import UNEXPECTED, digests_in
from flows.lineage.signing.dsse import PAYLOAD_TYPE, Envelope, EnvelopeError, is_signed_by, read_envelope
from flows.lineage.signing.keys import key_id, public_key
from flows.lineage.signing.signature import Checked, Wrong, changed, gravest, unsigned

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
PASSED, WARNED, FAILED = "PASSED", "WARNED", "FAILED"


@dataclass(frozen=True)
class SignedResult:
    """What an envelope says, and what of it does not hold for the dvc.lock in the working tree."""

    keys: list[str]  # the ids of the public keys that were asked about and signed it
    result: str  # PASSED, WARNED or FAILED; empty where the file is not such an envelope
    stages: list[str]  # that were made again
    lacking: list[str]  # stages of dvc.lock that were not
    tolerance: float
    wrong: list[Wrong]

    @property
    def outcome(self) -> Checked:
        """SIGNED only where all stages of this dvc.lock were made again, and none failed."""
        if self.result == FAILED:
            return Checked.MISMATCH
        return gravest(self.wrong) or (Checked.MISSING if self.lacking else Checked.SIGNED)


@dataclass(frozen=True)
class _Claim:
    """The payload."""

    lock: str  # SHA-256 of dvc.lock
    result: str
    stages: list[str]
    tolerance: float


def signed_result(root: Path, public_keys: Sequence[Path], path: Path) -> SignedResult | None:
    """Check the result that `goodfit lineage reproduce --key` wrote; None where there is no such file.

    Args:
        root: the repository.
        public_keys: each of these must have signed.
        path: of the envelope.

    Raises:
        GoodfitError: a public key, or dvc.lock, cannot be read.
    """
    keys = {key_id(key): key for key in map(public_key, public_keys)}
    if not path.is_file():
        return None
    try:
        envelope = read_envelope(path.read_text(encoding="utf-8"))
        claim = _claim(envelope)
    except (EnvelopeError, UnicodeDecodeError) as error:
        wrong = Wrong(str(path), Checked.MISMATCH, "the result of a reproduction", str(error))
        return SignedResult([], "", [], [], 0.0, [wrong])
    by = [name for name, key in keys.items() if is_signed_by(envelope, key)]
    missing = unsigned(str(path), [name for name in keys if name not in by], envelope)
    lacking = [name for name in read_lock(root) if name not in claim.stages]
    differing = [*missing, *changed(root, {LOCK_FILE: claim.lock})]
    return SignedResult(by, claim.result, claim.stages, lacking, claim.tolerance, differing)


def signatures_beside(path: Path, payload: bytes) -> list[tuple[str, bytes]]:
    """The signatures of others over the same payload in a file that is about to be written again."""
    try:
        envelope = read_envelope(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, EnvelopeError):
        return []
    return envelope.signatures if (envelope.payload, envelope.payload_type) == (payload, PAYLOAD_TYPE) else []


def _claim(envelope: Envelope) -> _Claim:
    """What is said, whoever signed it.

    Raises:
        EnvelopeError: it is not the result of a reproduction.
    """
    try:
        document = json.loads(envelope.payload)
        subjects, predicate = digests_in(document["subject"]), document["predicate"]
        kind, result = document["predicateType"], predicate["result"]
        if (envelope.payload_type, kind) != (PAYLOAD_TYPE, TEST_RESULT):
            raise EnvelopeError(f"it signs {envelope.payload_type!r} of type {kind!r}; expected {TEST_RESULT!r}")
        if set(subjects) != {LOCK_FILE} or result not in (PASSED, WARNED, FAILED):
            raise EnvelopeError(
                f"it says {result!r} of {sorted(subjects)}; expected PASSED, WARNED or FAILED of {LOCK_FILE} alone"
            )
        tests = [name for key in ("passedTests", "warnedTests", "failedTests") for name in predicate[key]]
        return _Claim(subjects[LOCK_FILE]["sha256"], result, tests, _tolerance(predicate["configuration"]))
    except UNEXPECTED as error:
        raise EnvelopeError(f"its payload is not the result of a reproduction ({type(error).__name__}: {error})") from None


def _tolerance(configuration: list[dict[str, Any]]) -> float:
    (found,) = (one["annotations"]["tolerance"] for one in configuration if "annotations" in one)
    return float(found)
