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
    return [f"parameter {name}" if kind == "parameter" else name for kind, name, _, _ in contradictions(root, locked, sealed)]


def contradictions(root: Path, locked: Locked, sealed: Sealed) -> Iterator[tuple[str, str, str, str]]:
    """What is recorded otherwise than it was sealed: `input`, `output` or `parameter`, its name, as recorded, as sealed."""
    for kind, recorded, known in (("input", locked.deps, sealed.inputs), ("output", locked.outs, sealed.outputs)):
        if known is not None:
            yield from ((kind, *found) for found in _files(root, recorded, known))
    # DVC has its own kinds of lists and mappings; a statement is JSON.
    now, then = flat(json.loads(json.dumps(locked.params, default=str))), flat(sealed.params)
    for key in dict.fromkeys((*now, *then)):
        if (key in now) != (key in then) or not same(now.get(key), then.get(key)):
            yield "parameter", key, json.dumps(now.get(key)), json.dumps(then.get(key))


def _files(root: Path, recorded: dict[str, str], sealed: dict[str, Digest]) -> Iterator[tuple[str, str, str]]:
    digests = {as_locked(root, path): digest for path, digest in sealed.items()}
    for path, md5 in recorded.items():
        name = as_locked(root, path)
        found = directory_md5(digests, name) if md5.endswith(".dir") else digests[name].md5 if name in digests else None
        if found != md5:
            yield path, f"md5 {md5}", f"md5 {found}" if found else "no such file"
