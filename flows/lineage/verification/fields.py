"""The fields of dvc.lock that no digest covers: sizes, counts, kinds, and entries of stages that dvc.yaml does not have."""

import stat
from collections.abc import Iterator
from typing import Any

from flows.lineage.lock import LOCK_FILE, as_locked
from flows.lineage.verification.outcome import ExitCode, Mismatch, Note
from flows.lineage.verification.stages import md5_of
from flows.lineage.verification.subject import Subject, as_json
from flows.repository import PIPELINE_FILE
from tasks.core.settings import PARAMS_FILE

SCHEMA = "2.0"
ENTRY = {"cmd", "deps", "params", "outs"}
ITEM = {"path", "hash", "md5", "size", "nfiles", "isexec"}


def check_fields(subject: Subject) -> Iterator[Mismatch]:
    """What dvc.lock says beside the digests of the verified stages, and of all where all are verified."""
    document = subject.document
    if not document:
        return
    if document.get("schema") != SCHEMA:
        yield _wrong("", "schema", SCHEMA, document.get("schema"))
    for key in sorted(document.keys() - {"schema", "stages"}):
        yield _wrong("", key, None, document[key])
    stages = document.get("stages") or {}
    if subject.whole:
        for name in stages.keys() - subject.declarations.keys():
            yield Mismatch(
                name,
                LOCK_FILE,
                ExitCode.MISMATCH,
                "no such stage",
                f"an entry of it in {LOCK_FILE}: put the stage back, or remove the entry",
                PIPELINE_FILE,
            )
    for name in subject.chain:
        if name in stages:
            yield from _entry(subject, name, stages[name])


def _entry(subject: Subject, name: str, entry: dict[str, Any]) -> Iterator[Mismatch]:
    for key in sorted(entry.keys() - ENTRY):
        yield _wrong(name, key, None, entry[key])
    for file in (entry.get("params") or {}).keys() - {PARAMS_FILE}:
        yield _wrong(name, f"params: {file}", None, entry["params"][file])
    declared = subject.declarations[name]
    paths = {as_locked(subject.root, path): path for path in (*declared.deps, *declared.outs)}
    for kind in ("deps", "outs"):
        for item in entry.get(kind) or []:
            if item["path"] in paths:  # what is listed too much is told with its digest
                yield from _item(subject, name, item, paths[item["path"]])


def _item(subject: Subject, name: str, item: dict[str, Any], path: str) -> Iterator[Mismatch]:
    place = item["path"]
    for key in sorted(item.keys() - ITEM):
        yield _wrong(name, f"{place}: {key}", None, item[key])
    if item.get("hash") != "md5":
        yield _wrong(name, f"{place}: hash", "md5", item.get("hash"))
    files = [file for file in subject.files.below(path) if file in subject.files.sizes]
    if not files or md5_of(subject, path) != item["md5"]:  # other bytes, or none, are told of the digest
        return
    is_folder = files != [path]
    expected = {"size": sum(subject.files.sizes[file] for file in files), "nfiles": len(files) if is_folder else None}
    for key, value in expected.items():
        if type(item.get(key)) is not type(value) or item.get(key) != value:
            yield _wrong(name, f"{place}: {key}", value, item.get(key))
    executable = not is_folder and bool((subject.root / path).stat().st_mode & stat.S_IXUSR)
    if item.get("isexec", False) is not executable:
        if "isexec" in item:
            yield _wrong(name, f"{place}: isexec", executable or None, item["isexec"])
        else:
            subject.notes.append(Note(path, f"is executable, and was not when {LOCK_FILE} was written"))


def _wrong(stage: str, key: str, actual: Any, stated: Any) -> Mismatch:
    """The record says what the files do not."""
    expected, found = ("no such field" if value is None else as_json(value) for value in (stated, actual))
    return Mismatch(stage or LOCK_FILE, key, ExitCode.MISMATCH, expected, found, LOCK_FILE)
