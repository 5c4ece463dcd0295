"""DVC's cache: every object that dvc.lock names must be the bytes of its name, or a restored result is another one.

DVC itself believes an object whose size and mtime are those that it noted.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flows.lineage.listing import FOLDER, read_listing
from flows.lineage.lock import as_locked
from flows.lineage.verification.outcome import ExitCode, Mismatch, Note
from flows.lineage.verification.subject import Subject
from flows.repository import OBJECTS, object_path
from tasks.contracts.statement import Digest


class Object(NamedTuple):
    """A file of the cache: what it is of, and what it should be."""

    stage: str
    out: str  # the file in the workspace that it is the copy of
    file: str  # where it lies
    md5: str
    sha256: str | None  # as the statement has it

    def where(self, root: Path) -> str:
        """Its name relative to the repository."""
        return Path(self.file).relative_to(root).as_posix() if Path(self.file).is_relative_to(root) else self.file


def objects(subject: Subject) -> list[Object]:
    """The objects of all outputs of the verified stages, after the listings of folders were hashed here.

    Where the listing of a folder is lost or damaged, the folder itself is hashed as well.
    """
    cache = subject.cache
    found = list(_listed(subject, cache))
    subject.files.hash(one.file for one in found if one.md5.endswith(FOLDER))
    return [*found, *(member for one in found if one.md5.endswith(FOLDER) for member in _members(subject, cache, one))]


def _listed(subject: Subject, cache: Path) -> Iterator[Object]:
    for name in subject.chain:
        if name not in subject.lock:
            continue
        files = subject.stated.get(name, {})
        for out in subject.declarations[name].outs:
            path = as_locked(subject.root, out)
            md5 = subject.lock[name].outs.get(path)
            if md5 is None or out in subject.declarations[name].uncached:
                continue
            stated = files.get(out)
            yield Object(name, path, str(object_path(cache, md5)), md5, stated.sha256 if stated else None)


def _members(subject: Subject, cache: Path, folder: Object) -> Iterator[Object]:
    """The files of a folder, as its listing in the cache has them, or the folder itself where the listing is lost or damaged."""
    listing: dict[str, str] = {}
    found = subject.files.digests.get(folder.file)
    if found is not None and f"{found.md5}{FOLDER}" == folder.md5:
        listing = read_listing(Path(folder.file)) or {}
    else:
        subject.files.hash(subject.files.below(folder.out))
        if subject.files.folder_md5(folder.out) == folder.md5:
            here = subject.files.known([folder.out])
            listing = {name[len(folder.out) + 1 :]: digest.md5 for name, digest in here.items()}
    stated, objects_folder = subject.stated.get(folder.stage, {}), str(cache / OBJECTS)
    for relative, md5 in listing.items():
        path = f"{folder.out}/{relative}"
        # As `object_path` has it, without a Path for each of 100,000 files.
        file = f"{objects_folder}{os.sep}{md5[:2]}{os.sep}{md5[2:]}"
        yield Object(folder.stage, path, file, md5, stated[path].sha256 if path in stated else None)


def check_cache(subject: Subject, found: list[Object]) -> Iterator[Mismatch]:
    """What is wrong with the objects, which have been hashed.

    An object that is missing is a note where the output lies in the workspace unchanged: nothing that was recorded is lost yet, but
    `dvc checkout` could not bring it back. Where the output is gone too, it is missing.
    """
    digests, problems = subject.files.digests, subject.files.problems
    for one in {one.file: one for one in found}.values():
        digest = digests.get(one.file)
        good = digest is not None and digest.md5 == one.md5.removesuffix(FOLDER) and one.sha256 in (None, digest.sha256)
        if not good:
            yield from _told(subject, one, digest, problems.get(one.file))


def _told(subject: Subject, one: Object, digest: Digest | None, problem: str | None) -> Iterator[Mismatch]:
    where = one.where(subject.root)
    if problem:
        yield Mismatch(one.stage, where, ExitCode.MISMATCH, f"the bytes of {one.out}", problem, "DVC's cache")
    elif digest is None:
        if _is_intact(subject, one):
            subject.notes.append(
                Note(where, f"is not in DVC's cache, which could not bring back {one.out}: `dvc commit` adds it")
            )
        else:
            lost = f"no object of {one.out}: `dvc fetch` brings it from a remote, or run the stage again"
            yield Mismatch(one.stage, where, ExitCode.MISSING, f"md5 {one.md5}", lost, "dvc.lock")
    elif digest.md5 != one.md5.removesuffix(FOLDER):
        damaged = f"md5 {digest.md5}: the object of {one.out} is damaged"
        yield Mismatch(one.stage, where, ExitCode.MISMATCH, f"md5 {one.md5}", damaged, "dvc.lock")
    else:
        yield Mismatch(one.stage, where, ExitCode.MISMATCH, f"sha256 {one.sha256}", f"sha256 {digest.sha256}", "statement")


def _is_intact(subject: Subject, one: Object) -> bool:
    if one.md5.endswith(FOLDER):
        return subject.files.folder_md5(one.out) == one.md5
    found = subject.files.digests.get(one.out)
    return found is not None and found.md5 == one.md5
