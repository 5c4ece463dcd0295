"""The signature over a record: dvc.lock, dvc.yaml, params.yaml and every statement, by their digests.

What dvc.lock and the statements name by digest, which is every input and output, is signed with them.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flows.lineage.digest import digest_file
from flows.lineage.lock import LOCK_FILE, read_lock, read_record
from flows.lineage.signing.auditor import UNEXPECTED, digests_in
from flows.lineage.signing.dsse import PAYLOAD_TYPE, Envelope, EnvelopeError, is_signed_by, read_envelope, signed
from flows.lineage.signing.keys import key_id, private_key, public_key
from flows.lineage.statement import STATEMENT_TYPE
from flows.repository import PIPELINE_FILE
from tasks.contracts.statement import FOLDER as STATEMENTS
from tasks.core.errors import GoodfitError
from tasks.core.files import write_json
from tasks.core.settings import PARAMS_FILE

# Beside dvc.lock and not in lineage/, where every file is taken for a stage's statement. Git has it; DVC does not look at it.
SIGNATURE = Path("dvc.lock.dsse.json")
PREDICATE_TYPE = "urn:goodfit:record:v1"
ALWAYS = (LOCK_FILE, PIPELINE_FILE, PARAMS_FILE)


class Checked(IntEnum):
    """What `goodfit lineage check-signature` ends with; the gravest of all that was found."""

    SIGNED = 0
    MISMATCH = 1
    MISSING = 2
    NO_SIGNATURE = 3
    NOT_CHECKED = 4


@dataclass(frozen=True)
class Wrong:
    """A file that is not what was signed."""

    path: str
    kind: Checked
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.path}: the signature has {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Signature:
    """What a signature says of the record that lies in the working tree.

    `keys` are the ids of the public keys that were asked about and signed it. Without any it is only known whether the files are those
    that somebody signed.
    """

    path: str
    keys: list[str]
    claimed: list[str]  # the ids that the envelope names; whoever wrote it chose them
    files: list[str]
    wrong: list[Wrong] = field(default_factory=list)

    @property
    def outcome(self) -> Checked:
        return gravest(self.wrong)


def sign(root: Path, key_file: Path, output: Path | None = None) -> list[str]:
    """Sign the record in the working tree; return the files. Signatures of other keys stay where the record is the same.

    Raises:
        GoodfitError: a file is missing, a statement is not the one that dvc.lock records, the key cannot be used, or something else
            than a signature lies where it is to be.
    """
    target = root / (output or SIGNATURE)
    before = _before(target)
    key = private_key(key_file)
    payload = json.dumps(_record(root), indent=1, sort_keys=True).encode()
    others: list[tuple[str, bytes]] = []
    if before and (before.payload, before.payload_type) == (payload, PAYLOAD_TYPE):
        others = before.signatures
    write_json(target, signed(payload, key, others))
    return list(_files(root))


def _before(target: Path) -> Envelope | None:
    """The signatures that lie there already."""
    if not os.path.lexists(target):
        return None
    try:
        if not target.is_file():  # to read a pipe is to wait for ever
            raise EnvelopeError("it is no regular file")
        return read_envelope(target.read_text(encoding="utf-8"))
    except (EnvelopeError, UnicodeDecodeError) as error:
        raise GoodfitError(
            f"nothing was signed: {target} is not a signature to which another can be added ({error}): move it away, or bring back the "
            f"committed one with `git checkout {target.name}`"
        ) from None


def signature(root: Path, public_keys: Sequence[Path] = (), path: Path | None = None) -> Signature | None:
    """Check the signature of a record; None where there is none.

    Args:
        root: the repository.
        public_keys: each of these must have signed. Without one, anybody may have.
        path: of the envelope, if it is not beside dvc.lock.

    Raises:
        GoodfitError: a public key cannot be read.
    """
    keys = {key_id(key): key for key in map(public_key, public_keys)}
    place = path or SIGNATURE
    if not (root / place).is_file():
        return None
    try:
        envelope = read_envelope((root / place).read_text(encoding="utf-8"))
        subjects = _subjects(envelope)
    except (EnvelopeError, UnicodeDecodeError) as error:
        wrong = Wrong(place.as_posix(), Checked.MISMATCH, "an envelope over a record", str(error))
        return Signature(place.as_posix(), [], [], [], [wrong])
    claimed = [name for name, _ in envelope.signatures]
    by = [name for name, key in keys.items() if is_signed_by(envelope, key)]
    missing = unsigned(place.as_posix(), [name for name in keys if name not in by], envelope)
    return Signature(place.as_posix(), by, claimed, list(subjects), [*missing, *_compare(root, subjects)])


def gravest(wrong: Sequence[Wrong]) -> Checked:
    """The gravest of what was found; SIGNED where nothing is wrong."""
    kinds = {one.kind for one in wrong}
    return next((kind for kind in (Checked.MISMATCH, Checked.MISSING) if kind in kinds), Checked.SIGNED)


def unsigned(place: str, keys: Sequence[str], envelope: Envelope) -> list[Wrong]:
    """What is said of an envelope that these keys should have signed, and did not."""
    others = f"no valid signature of that key, but of {_named([name for name, _ in envelope.signatures])}"
    return [Wrong(place, Checked.MISMATCH, f"to be by key {name}", others) for name in keys]


def changed(root: Path, signed_files: Mapping[str, str]) -> Iterator[Wrong]:
    """The files that are gone, or no longer have the SHA-256 that was signed."""
    for name, sha256 in signed_files.items():
        found = _sha256(root / name)
        if found is None:
            yield Wrong(name, Checked.MISSING, f"sha256 {sha256}", "no file")
        elif found != sha256:
            yield Wrong(name, Checked.MISMATCH, f"sha256 {sha256}", f"sha256 {found}")


def _named(keys: list[str]) -> str:
    return ", ".join(name[:12] or "a key without an id" for name in keys) or "none"


def _record(root: Path) -> dict[str, Any]:
    """The payload: an in-toto statement whose subjects are the files of the record."""
    stages = sorted(name for name, entry in read_record(root).items() if entry.outs)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in _files(root).items()],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"stages": stages, "goodfit": version("goodfit")},
    }


def _files(root: Path) -> dict[str, str]:
    """The files to sign with their SHA-256."""
    digests: dict[str, str] = {}
    for name in ALWAYS:
        if not (root / name).is_file():
            raise GoodfitError(f"{name} is missing; expected a run that is recorded: `dvc repro` or `goodfit run`")
        digests[name] = digest_file(root / name).sha256
    for name, md5 in _statements(root).items():
        if not (root / name).is_file():
            raise GoodfitError(f"{name} is missing, which {LOCK_FILE} records: `dvc checkout` or `dvc pull` brings it back")
        found = digest_file(root / name)
        if found.md5 != md5:
            raise GoodfitError(
                f"nothing was signed: {name} is not the one that {LOCK_FILE} records (md5 {md5}, found {found.md5}): "
                "`goodfit lineage verify` says what else differs, `dvc checkout` brings the recorded one back"
            )
        digests[name] = found.sha256
    return digests


def _statements(root: Path) -> dict[str, str]:
    """The statements that dvc.lock records, with their MD5."""
    outs = {path: md5 for entry in read_lock(root).values() for path, md5 in entry.outs.items()}
    return {path: outs[path] for path in sorted(outs) if Path(path).parent == STATEMENTS}


def _subjects(envelope: Envelope) -> dict[str, str]:
    """The signed files with their SHA-256.

    Raises:
        EnvelopeError: the payload is not a record.
    """
    try:
        document = json.loads(envelope.payload)
        subjects = {name: digests["sha256"] for name, digests in digests_in(document["subject"]).items()}
        kind = document["predicateType"]
    except UNEXPECTED as error:
        raise EnvelopeError(f"its payload is not a record ({type(error).__name__}: {error})") from None
    if (envelope.payload_type, kind) != (PAYLOAD_TYPE, PREDICATE_TYPE):
        raise EnvelopeError(f"it signs {envelope.payload_type!r} of type {kind!r}; expected {PREDICATE_TYPE!r}")
    return subjects


def _compare(root: Path, subjects: dict[str, str]) -> Iterator[Wrong]:
    yield from changed(root, subjects)
    if subjects.get(LOCK_FILE) != _sha256(root / LOCK_FILE):
        return  # said above; what another dvc.lock lists does not count
    for name in sorted({*ALWAYS, *_statements(root)} - subjects.keys()):
        yield Wrong(name, Checked.MISMATCH, "no such file", "one that belongs to the record")


def _sha256(path: Path) -> str | None:
    return digest_file(path).sha256 if path.is_file() else None
