"""DVC's run-cache: what it would bring back instead of running a stage must be what the stage's statement says it wrote."""

from collections.abc import Iterator
from pathlib import Path

from flows.lineage.digest import digest_file
from flows.lineage.lock import Locked, LockFileError, parse_entry
from flows.lineage.record import Sealed, contradictions
from flows.lineage.statement import statement_path
from flows.lineage.verification.outcome import ExitCode, Mismatch, Note
from flows.lineage.verification.subject import Subject
from flows.parameters.checking import COMMAND, own_stages
from flows.processes.run_cache import Entry, entries, remove_entry
from flows.repository import cache_folder, object_path
from tasks.contracts.statement import Digest, Statement
from tasks.core.errors import GoodfitError

SOURCE = "the run-cache"


def check_runs(subject: Subject) -> Iterator[Mismatch]:
    """Entries of the verified stages that are not what DVC wrote, or not what the statement that they bring back says.

    An entry whose statement is neither in the cache nor the one that lies here cannot be restored: it is passed over.
    """
    commands = {subject.declarations[name].command: name for name in subject.chain}
    for entry in entries(subject.cache):
        where = _shown(subject.root, entry)
        if entry.content is None:
            subject.notes.append(Note(where, "is not a whole entry of DVC's run-cache: `goodfit doctor` removes it"))
            continue
        name = commands.get(str(entry.content.get("cmd")))
        if name is not None:
            for expected, found in _differences(subject, name, entry):
                yield Mismatch(name, where, ExitCode.MISMATCH, expected, found, SOURCE)


def remove_contradicted(root: Path) -> list[str]:
    """Remove the entries that say otherwise of a stage than the statement that they bring back; say which.

    Plain `dvc repro` writes one where a file changes between the stage's end and DVC's hashing. It would later bring back results
    of other inputs. The caller holds DVC's lock for the repository, so that no entry is being written.
    """
    commands = {f"{COMMAND}{name}": name for name in own_stages(root)}
    cache, lines = cache_folder(root), []
    for entry in entries(cache):
        name = commands.get(str((entry.content or {}).get("cmd")))
        wrong = _contradicted(root, cache, name, entry) if name else []
        if wrong:
            remove_entry(entry.file)
            lines.append(
                f"removed {_shown(root, entry)}, an entry of DVC's run-cache that does not record what stage '{name}' read and "
                f"wrote ({', '.join(wrong)})"
            )
    return lines


def _contradicted(root: Path, cache: Path, name: str, entry: Entry) -> list[str]:
    try:
        locked = parse_entry("entry", entry.content)
        own = statement_path(name).as_posix()
        sealed = _in_cache(cache, own, locked.outs.get(own))
    except GoodfitError:  # not as DVC writes it, which `goodfit lineage verify` tells
        return []
    return [f"{kind} {what}" for kind, what, _, _ in contradictions(root, locked, sealed)] if sealed else []


def _shown(root: Path, entry: Entry) -> str:
    return (entry.file.relative_to(root) if entry.file.is_relative_to(root) else entry.file).as_posix()


def _differences(subject: Subject, name: str, entry: Entry) -> Iterator[tuple[str, str]]:
    for expected, found in entry.wrong_names():
        yield f"the name {expected}", f"content of the name {found}: not as DVC wrote it; remove the file"
    try:
        locked = parse_entry("entry", entry.content)
    except LockFileError as error:
        yield "an entry as DVC writes it", str(error)
        return
    sealed = _sealed(subject, name, locked)
    if sealed is not None:
        yield from (
            (f"{recorded} of {kind} {what}", f"{stated} in the statement that it brings back; `goodfit doctor` removes it")
            for kind, what, recorded, stated in contradictions(subject.root, locked, sealed)
        )


def _sealed(subject: Subject, name: str, locked: Locked) -> Sealed | None:
    """What the entry's own statement says; None where it is neither here nor in the cache, or an older goodfit wrote it."""
    own = statement_path(name).as_posix()
    md5, here = locked.outs.get(own), subject.files.digests.get(own)
    if here is not None and here.md5 == md5 and name in subject.statements:
        return _of(subject.statements[name], own, here)  # the same bytes, which have been read
    return _in_cache(subject.cache, own, md5)


def _in_cache(cache: Path, own: str, md5: str | None) -> Sealed | None:
    """What a statement in the cache says; `own` is its path, and `md5` as the entry has it."""
    file = object_path(cache, md5) if md5 else None
    if file is None or not file.is_file() or (digest := digest_file(file)).md5 != md5:
        return None  # a damaged object is told where it is one of dvc.lock's
    try:
        return _of(Statement.model_validate_json(file.read_bytes()), own, digest)
    except ValueError:
        return None


def _of(statement: Statement, own: str, digest: Digest) -> Sealed:
    return Sealed(statement.inputs, {**statement.outputs, own: digest}, statement.params)
