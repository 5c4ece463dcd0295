"""A signature holds a record fast, and a record that was rewritten after it does not pass."""

from pathlib import Path

import pytest

from flows.lineage.signing.keys import key_id, new_key, public_key
from flows.lineage.signing.signature import SIGNATURE, sign
from flows.lineage.verification.outcome import ExitCode
from flows.lineage.verification.signed import check_signature
from flows.lineage.verify import Checks, verify
from tests.conftest import Project

pytestmark = pytest.mark.slow


def test_a_record_in_no_commit_is_proven_by_its_signature_and_not_after_a_change(ran: Project, tmp_path: Path) -> None:
    keys = [tmp_path / name for name in ("own.pem", "other.pem")]
    own, other = (new_key(key, ran.root) for key in keys)
    ran.edit("dvc.lock", "schema: '2.0'\n", "schema: '2.0'\n\n")  # another text than that of the commit
    assert verify(ran.root).outcome == "consistent"
    unsigned = verify(ran.root, checks=Checks(public_keys=(own,)))
    assert unsigned.exit_code is ExitCode.MISSING
    assert f"{SIGNATURE.as_posix()}: --public-key has a signature of that key, found none" in str(unsigned.mismatches[-1])

    sign(ran.root, keys[0])
    proven = verify(ran.root, checks=Checks(public_keys=(own,)))
    assert (proven.outcome, proven.mismatches) == ("proven", [])
    assert proven.anchors[0].text == f"the record signed by key {key_id(public_key(own))}"
    assert verify(ran.root, checks=Checks(public_keys=(other,))).exit_code is ExitCode.MISMATCH

    ran.edit("dvc.lock", "schema: '2.0'\n\n", "schema: '2.0'\n")
    changed = verify(ran.root, checks=Checks(public_keys=(own,)))
    assert changed.exit_code is ExitCode.MISMATCH
    assert any(mismatch.path == "dvc.lock" and mismatch.source == "signature" for mismatch in changed.mismatches)


def test_without_a_key_no_signature_is_looked_at(tmp_path: Path) -> None:
    assert check_signature(tmp_path, ()) == ([], [])
