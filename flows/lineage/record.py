"""What DVC recorded against what the stage sealed.

DVC hashes inputs and outputs itself, a moment after the stage has ended. A file that changes in that moment is recorded as if the
stage had read or written it. The statement holds the digests of what the stage really read and wrote.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.lineage.digest import digest_file, directory_md5
from flows.lineage.lock import LOCK_FILE, Locked, as_locked, parse_entry, read_lock
from flows.lineage.statement import flat, statement_path
from flows.lineage.verification.subject import same
from flows.parameters.checking import own_stages
from tasks.contracts.statement import Digest, read_statement
from tasks.core.errors import ArtifactError


@dataclass(frozen=True)
class Sealed:
    """What a stage read and wrote, file by file; `outputs` is None where they were not sealed."""

    inputs: dict[str, Digest]
    outputs: dict[str, Digest] | None
    params: dict[str, Any]


def check_record(root: Path) -> list[str]:
    """One line for each stage whose entry in dvc.lock is not what its statement says; only statements are read, no data is hashed.

    A stage without an entry or without a statement file is passed over: `goodfit lineage verify` reports those.

    Raises:
        LockFileError: dvc.lock is not what DVC writes.
    """
    own = own_stages(root)
    lock = read_lock(root, own)
    lines = []
    for name in own:
        locked, path = lock.get(name), statement_path(name)
        if locked is None or not (root / path).is_file():
            continue
        if locked.outs.get(path.as_posix()) not in (None, digest_file(root / path).md5):
            lines.append(f"{name}: {path.as_posix()} is not the one that {LOCK_FILE} records: `dvc checkout` brings that back")
            continue
        try:
            found = differences(root, locked, sealed_by_statement(root, name))
        except ArtifactError as error:
            lines.append(f"{name}: {error}")
            continue
        if found:
            lines.append(
                f"{name}: {LOCK_FILE} does not record what the stage read and wrote ({', '.join(found)}): something changed in the "
                f"moment in which DVC recorded it; `dvc repro -f {name}` runs it again"
            )
    return lines


def misrecorded(root: Path, stage: Any) -> list[str]:
    """What differs between one of our stages, as DVC has loaded or is about to record it, and its statement.

    Nothing where DVC does not have the statement itself: that of another run says nothing of this one.

    Raises:
        ArtifactError: the statement is missing or damaged.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    locked = parse_entry(f"stages.{stage.name}", to_single_stage_lockfile(stage))
    own = statement_path(stage.name)
    if locked.outs.get(own.as_posix()) is None:
        return []
    return differences(root, locked, sealed_by_statement(root, stage.name))


def sealed_by_statement(root: Path, name: str) -> Sealed:
    """What a stage's statement says.

    Raises:
        ArtifactError: the statement is missing or damaged.
    """
    statement = read_statement(root, name)
    own = statement_path(name).as_posix()
    return Sealed(statement.inputs, {**statement.outputs, own: digest_file(root / own)}, statement.params)


def differences(root: Path, locked: Locked, sealed: Sealed) -> list[str]:
    """The files, folders and parameters that are recorded otherwise than they were sealed."""
    found = [*_files(root, locked.deps, sealed.inputs)]
    if sealed.outputs is not None:
        found += _files(root, locked.outs, sealed.outputs)
    # DVC has its own kinds of lists and mappings; a statement is JSON.
    plain = json.loads(json.dumps(locked.params, default=str))
    recorded, known = flat(plain), flat(sealed.params)
    return found + [
        f"parameter {key}"
        for key in dict.fromkeys((*recorded, *known))
        if (key in recorded) != (key in known) or not same(recorded.get(key), known.get(key))
    ]


def _files(root: Path, recorded: dict[str, str], sealed: dict[str, Digest]) -> Iterator[str]:
    digests = {as_locked(root, path): digest for path, digest in sealed.items()}
    for path, md5 in recorded.items():
        found = directory_md5(digests, path) if md5.endswith(".dir") else digests[path].md5 if path in digests else None
        if found != md5:
            yield path
