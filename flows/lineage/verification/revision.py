"""Verify a revision as it was recorded: its files from Git, its outputs from DVC's cache. No file of the workspace is touched."""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from flows.declaration import producer, read_declarations
from flows.lineage.listing import read_listing
from flows.lineage.lock import LOCK_FILE, as_locked, read_lock
from flows.repository import cache_folder, object_path
from tasks.core.errors import GoodfitError

if TYPE_CHECKING:
    from flows.lineage.verify import Checks, Verification


def verify_revision(
    root: Path,
    revision: str,
    path: str | None,
    checks: "Checks",
    advance: Callable[[int, int], object] | None = None,
) -> "Verification":
    """As `verify`, of a commit, branch, tag or experiment.

    Its outputs are links into DVC's cache, which is therefore read once, as the files. Data outside of the repository, and data that
    neither Git nor DVC has, are those that lie there now.

    Raises:
        GoodfitError: there is no such revision, or it records nothing; and what `verify` raises.
    """
    from flows.lineage.paths import output_path
    from flows.lineage.verify import verify

    commit = resolve(root, revision)
    with checked_out(root, commit) as there:
        inner = output_path(str(there / path), there) if path else None
        return verify(there, inner, replace(checks, cache=False), advance, anchored=(root, commit))


def resolve(root: Path, revision: str) -> str:
    """The commit of a revision.

    Raises:
        GoodfitError: there is none of this name, or it has no dvc.lock.
    """
    listed = _git(root, "for-each-ref", "--format=%(objectname) %(refname:lstrip=4)", "refs/exps") or ""
    experiments = {name: commit for commit, _, name in (line.partition(" ") for line in listed.splitlines())}
    commit = experiments.get(revision) or _git(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    if not commit:
        known = f", or an experiment ({', '.join(sorted(experiments))})" if experiments else " (DVC has no experiment here)"
        raise GoodfitError(f"there is no revision '{revision}'; expected a commit, a branch or a tag{known}")
    if _git(root, "rev-parse", "--verify", "--quiet", f"{commit}:./{LOCK_FILE}") is None:
        raise GoodfitError(f"{LOCK_FILE} is not in {revision}: nothing was recorded there")
    return commit


@contextmanager
def checked_out(root: Path, commit: str) -> Iterator[Path]:
    """A temporary folder with the files of a commit, and its outputs as links into DVC's cache."""
    prefix = _git(root, "rev-parse", "--show-prefix") or ""
    command = ["git", "archive", "--format=tar", commit if not prefix else f"{commit}:{prefix}"]
    packed = subprocess.run(command, cwd=_top(root), capture_output=True, check=False)
    if packed.returncode:
        raise GoodfitError(f"`git archive {commit[:7]}` failed: {packed.stderr.decode(errors='replace').strip()}")
    with TemporaryDirectory(prefix="goodfit-verify-") as folder:
        there = Path(folder).resolve().joinpath(*root.resolve().parts[-3:])  # so deep that `..` stays within
        there.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(there, filter="tar")
        _link_outputs(root, there)
        _link_others(root, there)
        yield there


def _link_outputs(root: Path, there: Path) -> None:
    cache, lock = cache_folder(root), read_lock(there)
    for name, declared in read_declarations(there).items():
        for out in declared.outs:
            md5 = lock[name].outs.get(as_locked(there, out)) if name in lock else None
            if md5 is None or (there / out).exists() or out in declared.uncached:
                continue
            if md5.endswith(".dir"):
                for relative, of_file in (read_listing(object_path(cache, md5)) or {}).items():
                    _link(object_path(cache, of_file), there / out / relative)
            else:
                _link(object_path(cache, md5), there / out)


def _link_others(root: Path, there: Path) -> None:
    """Inputs that are neither in Git nor written by a stage: as they lie there now."""
    declarations = read_declarations(there)
    for declared in declarations.values():
        for dep in declared.deps:
            if producer(declarations, dep) is None and not os.path.lexists(there / dep) and (root / dep).exists():
                _link(root / dep, there / dep)


def _link(source: Path, target: Path) -> None:
    if source.exists():  # what is missing is told as a missing file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())


def _top(root: Path) -> str:
    return _git(root, "rev-parse", "--show-toplevel") or str(root)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError:
        raise GoodfitError("there is no program `git`, and revisions are in Git: install it") from None
    return done.stdout.strip() if done.returncode == 0 else None
