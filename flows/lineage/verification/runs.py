"""DVC's run-cache: what it would bring back instead of running a stage must be what the stage's statement says it wrote."""

import json
from collections.abc import Iterator
from pathlib import Path

from flows.lineage.digest import digest_file, directory_md5
from flows.lineage.lock import Locked, LockFileError, parse_entry
from flows.lineage.statement import flat, statement_path
from flows.lineage.verification.outcome import ExitCode, Mismatch, Note
from flows.lineage.verification.subject import Subject, same
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
        wrong = _contradicted(cache, name, entry) if name else []
        if wrong:
            remove_entry(entry.file)
            lines.append(
                f"removed {_shown(root, entry)}, an entry of DVC's run-cache that does not record what stage '{name}' read and "
                f"wrote ({', '.join(wrong)})"
            )
    return lines


def _contradicted(cache: Path, name: str, entry: Entry) -> list[str]:
    try:
        locked = parse_entry("entry", entry.content)
        statement = _cached_statement(cache, name, locked)
    except GoodfitError:  # not as DVC writes it, which `goodfit lineage verify` tells
        return []
    return [what for what, _, _ in _contradictions(locked, statement)] if statement else []


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
    statement = _statement(subject, name, locked)
    if statement is not None:
        yield from (
            (f"{recorded} of {what}", f"{stated} in the statement that it brings back; `goodfit doctor` removes it")
            for what, recorded, stated in _contradictions(locked, statement)
        )


def _statement(subject: Subject, name: str, locked: Locked) -> Statement | None:
    """What the entry's own statement says; None where it is neither here nor in the cache, or an older goodfit wrote it."""
    own = statement_path(name).as_posix()
    md5, here = locked.outs.get(own), subject.files.digests.get(own)
    if here is not None and here.md5 == md5 and name in subject.statements:
        return subject.statements[name]  # the same bytes, which have been read
    return _cached_statement(subject.cache, name, locked)


def _cached_statement(cache: Path, name: str, locked: Locked) -> Statement | None:
    md5 = locked.outs.get(statement_path(name).as_posix())
    file = object_path(cache, md5) if md5 else None
    if file is None or not file.is_file() or digest_file(file).md5 != md5:
        return None  # a damaged object is told where it is one of dvc.lock's
    try:
        return Statement.model_validate_json(file.read_bytes())
    except ValueError:
        return None


def _contradictions(locked: Locked, statement: Statement) -> Iterator[tuple[str, str, str]]:
    """What an entry and its statement say differently: name, as the entry has it, as the statement has it."""
    own = statement_path(statement.stage).as_posix()
    for kind, recorded, stated in (("input", locked.deps, statement.inputs), ("output", locked.outs, statement.outputs)):
        for path, md5 in recorded.items():
            found = _stated(path, md5, stated)
            if path != own and found != md5:
                yield f"{kind} {path}", f"md5 {md5}", f"md5 {found}" if found else "no such file"
    now, then = flat(locked.params), flat(statement.params)
    for key in dict.fromkeys((*now, *then)):
        if not same(now.get(key), then.get(key)):
            yield f"parameter {key}", json.dumps(now.get(key), default=str), json.dumps(then.get(key), default=str)


def _stated(path: str, md5: str, files: dict[str, Digest]) -> str | None:
    if md5.endswith(".dir"):
        return directory_md5(files, path)
    return files[path].md5 if path in files else None
