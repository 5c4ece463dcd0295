"""Verify: every byte is hashed again, back to the raw data; statement against dvc.lock against dvc.yaml against files and cache.

Neither mtimes nor DVC's own state count.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.declaration import writer
from flows.lineage.lock import LOCK_FILE
from flows.lineage.verification.anchors import anchors
from flows.lineage.verification.fields import check_fields
from flows.lineage.verification.outcome import ExitCode, Mismatch, Note, Verification
from flows.lineage.verification.pipeline import check_pipeline
from flows.lineage.verification.results import results
from flows.lineage.verification.signed import check_signature
from flows.lineage.verification.stages import check_stage, files_of
from flows.lineage.verification.subject import Subject, read_subject
from flows.lineage.verification.surroundings import check_surroundings, surrounding_files
from tasks.core.errors import GoodfitError

__all__ = ["Checks", "ExitCode", "Mismatch", "Note", "Verification", "verify"]


@dataclass(frozen=True)
class Checks:
    """What is looked at beside the files of the stages."""

    cache: bool = True  # DVC's cache and run-cache
    deep: bool = False  # compute again what follows from stored files in a moment
    environment: bool = False  # the installed packages
    public_keys: tuple[Path, ...] = ()  # that must have signed the record


def verify(
    root: Path,
    path: str | None = None,
    checks: Checks | None = None,
    advance: Callable[[int, int], object] | None = None,
    anchored: tuple[Path, str] | None = None,
) -> Verification:
    """Check the stage that writes `path` and all before it, or every stage.

    Args:
        root: the repository.
        path: an output; None for everything.
        checks: what is looked at beside the files of the stages.
        advance: told how many bytes are read, of how many so far.
        anchored: the Git repository and the commit whose dvc.lock this is, where that is not the one checked out in `root`.

    Raises:
        DeclarationError: no stage writes `path`, or dvc.yaml is not as goodfit reads it.
        LockFileError: dvc.lock is not what DVC writes.
        GoodfitError: `path` is no file, nor named by a record; a file that says what should be is no file; dvc.lock changed meanwhile.
    """
    checks = checks or Checks()
    before = _lock_bytes(root)
    subject = read_subject(root, path)
    if path is not None:
        _require_file(subject, path, anchored[0] if anchored else root)
    found = subject.mismatches
    found += _check_files(subject, checks, advance)
    found += check_fields(subject)
    found += check_surroundings(subject)
    found += check_pipeline(subject)
    if checks.environment:
        from flows.lineage.verification.environment import check_environment

        found += check_environment(subject)
    if checks.deep:
        from flows.lineage.verification.deep import check_deep

        found += check_deep(subject)
    if _lock_bytes(root) != before:
        raise GoodfitError(f"{LOCK_FILE} changed while it was verified: wait until the run has ended, and verify again")
    signed, unsigned = check_signature(root, checks.public_keys)
    held, unanchored = anchors(*(anchored or (root, "HEAD")), lock=before)
    found += unsigned
    return Verification(
        stages=subject.chain,
        files=subject.files.read_files,
        bytes=subject.files.read_bytes,
        mismatches=list(dict.fromkeys(found)),
        notes=list(dict.fromkeys(subject.notes)),
        anchors=[*signed, *held],
        unanchored=unanchored,
        results="" if found else results(subject),
    )


def _check_files(subject: Subject, checks: Checks, advance: Callable[[int, int], object] | None) -> Iterator[Mismatch]:
    """Every file, and every object of the cache, is read once, and compared with all that names it."""
    named = [file for name in subject.chain for file in _named(subject, name)]
    if checks.cache:
        from flows.lineage.verification.cache import check_cache, objects
        from flows.lineage.verification.runs import check_runs

        kept = objects(subject)
        subject.files.hash((*named, *(one.file for one in kept)), advance)
        yield from check_cache(subject, kept)
        yield from check_runs(subject)
    else:
        subject.files.hash(named, advance)
    for name in subject.chain:
        yield from check_stage(subject, name)


def _require_file(subject: Subject, path: str, kept: Path) -> None:
    from flows.lineage.named import require_file

    stage = writer(subject.declarations, path)
    require_file(
        subject.root, path, subject.declarations[stage], subject.lock.get(stage), subject.statements.get(stage), kept=kept
    )


def _named(subject: Subject, name: str) -> Iterator[str]:
    yield from files_of(subject, name)
    yield from surrounding_files(subject, name)


def _lock_bytes(root: Path) -> bytes:
    file = root / LOCK_FILE
    return file.read_bytes() if file.is_file() else b""
