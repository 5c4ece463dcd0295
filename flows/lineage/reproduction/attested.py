"""A reproduction as an in-toto statement with the test-result predicate (https://in-toto.io/attestation/test-result/v0.1)."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lineage.blobs import contents, objects_at
from flows.lineage.lock import LOCK_FILE
from flows.lineage.reproduction.reproduce import Outcome, Reproduction
from flows.lineage.signing.dsse import signed
from flows.lineage.signing.signed_result import FAILED, PASSED, TEST_RESULT, WARNED, signatures_beside
from flows.lineage.statement import STATEMENT_TYPE
from flows.repository import PIPELINE_FILE
from tasks.core.files import write_json
from tasks.core.settings import PARAMS_FILE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

RESULTS = {Outcome.IDENTICAL: PASSED, Outcome.WITHIN_TOLERANCE: WARNED, Outcome.DIVERGED: FAILED}


def write_test_result(path: Path, root: Path, found: Reproduction, key: "Ed25519PrivateKey | None" = None) -> None:
    """Write the result of reproducing a commit: the subject is its dvc.lock, the tests are the stages.

    With a key, it is the payload of a DSSE envelope, in which signatures of others over the same result stay. It holds no time, host or
    user, so that the same outcome gives the same bytes.
    """
    statement = test_result(root, found)
    if key is None:
        write_json(path, statement)
        return
    payload = json.dumps(statement, indent=1, sort_keys=True).encode()
    write_json(path, signed(payload, key, signatures_beside(path, payload)))


def test_result(root: Path, found: Reproduction) -> dict[str, Any]:
    """The statement; a stage passed where each output has the recorded bytes, and warned where numbers are within the tolerance."""
    names = (LOCK_FILE, PIPELINE_FILE, PARAMS_FILE)
    objects = objects_at(root, [(found.commit, name) for name in names])
    texts = dict(contents(root, objects.values()))
    digests = {
        name: {"sha256": hashlib.sha256(texts[objects[found.commit, name]]).hexdigest()}
        for name in names
        if (found.commit, name) in objects
    }
    failed = {one.stage for one in found.differing if not found.accepts(one)} | ({found.failed} if found.failed else set())
    warned = {one.stage for one in found.differing} - failed
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": LOCK_FILE, "digest": digests[LOCK_FILE]}],
        "predicateType": TEST_RESULT,
        "predicate": {
            "result": RESULTS[found.outcome],
            "configuration": [
                {"name": "commit", "digest": {"gitCommit": found.commit}},
                *({"name": name, "digest": digest} for name, digest in digests.items() if name != LOCK_FILE),
                {"name": "goodfit lineage reproduce", "annotations": {"tolerance": found.tolerance}},
            ],
            "passedTests": [name for name in found.stages if name not in failed | warned],
            "warnedTests": [name for name in found.stages if name in warned],
            "failedTests": [name for name in found.stages if name in failed],
        },
    }
