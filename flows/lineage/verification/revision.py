"""Verify a revision as it was recorded: its files from Git, its outputs from DVC's cache. No file of the workspace is touched."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from flows.declaration import producer, read_declarations
from flows.git import git, git_text
from flows.lineage.listing import FOLDER, ListingError, parse_listing
from flows.lineage.lock import as_locked, read_lock
from flows.lineage.revisions import recorded_commit
from flows.repository import cache_folder, object_path
from tasks.core.errors import GoodfitError

if TYPE_CHECKING:
    from flows.lineage.verify import Checks, Verification

WHOLE = ("-c", "core.sparseCheckout=false")  # every file, whatever the working tree leaves out


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

    commit = recorded_commit(root, revision)
    with checked_out(root, commit) as there:
        inner = output_path(str(there / path), there) if path is not None else None
        return verify(there, inner, replace(checks, cache=False), advance, anchored=(root, commit))


@contextmanager
def record_at(root: Path, revision: str | None) -> Iterator[Path]:
    """The folder with a record: the working tree, or a temporary one with what a revision recorded.

    Raises:
        GoodfitError: there is no such revision, or it records nothing; and what `checked_out` raises.
    """
    if revision is None:
        yield root
        return
    with checked_out(root, recorded_commit(root, revision)) as there:
        yield there


@contextmanager
def checked_out(root: Path, commit: str) -> Iterator[Path]:
    """A temporary folder with the files of a commit, and its outputs as links into DVC's cache.

    Raises:
        GoodfitError: Git cannot check the commit out, or what it records would be linked or read outside of the folder.
    """
    with TemporaryDirectory(prefix="goodfit-revision-") as name:
        folder = Path(name).resolve()
        there = _check_out(root, commit, folder)
        links = _Links(folder)
        _link_outputs(root, there, links)
        _link_others(root, there, links)
        yield there


def _check_out(root: Path, commit: str, folder: Path) -> Path:
    """Write all files of a commit; the project among them lies as deep as the original below `/`, so that a path such as `../x` stays.

    With an index of its own: `git archive` leaves out what .gitattributes says, which would then be taken from the working tree.
    """
    top = Path(git_text(root, "rev-parse", "--show-toplevel").rstrip("\n"))
    files = folder.joinpath("files", *top.parts[1:])
    files.mkdir(parents=True)
    variables = os.environ | {"GIT_INDEX_FILE": str(folder / "index")}
    for arguments in (("read-tree", commit), ("checkout-index", "--all", "--quiet")):
        git(top, *WHOLE, f"--work-tree={files}", *arguments, variables=variables)
    return files / git_text(root, "rev-parse", "--show-prefix").rstrip("\n")


class _Links:
    """Links in a temporary folder. What a commit records may be anybody's; none of it is written or believed elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parents: dict[Path, Path] = {}  # folders that were made, which no link replaces any more

    def inside(self, path: Path, name: str) -> Path:
        """Where a path leads.

        Raises:
            GoodfitError: out of the folder.
        """
        found = Path(os.path.realpath(path))
        if not found.is_relative_to(self._folder):
            raise GoodfitError(
                f"nothing was read of the revision: {name} leads to {found}, outside of the repository; expected paths within "
                "it: what lies outside is in no revision"
            )
        return found

    def make(self, source: Path, target: Path, name: str) -> None:
        """A link at `target`, which the commit calls `name`; what is missing is told later, as a missing file.

        Raises:
            GoodfitError: it would lie outside of the folder, or in the place of another file.
        """
        if not source.exists():
            return
        try:
            if target.parent not in self._parents:
                parent = self.inside(target.parent, name)
                parent.mkdir(parents=True, exist_ok=True)
                self._parents[target.parent] = parent
            (self._parents[target.parent] / target.name).symlink_to(source.resolve())
        except OSError as error:
            raise GoodfitError(
                f"nothing was read of the revision: {name} cannot lie beside what else the revision records ({error.strerror})"
            ) from None


def _link_outputs(root: Path, there: Path, links: _Links) -> None:
    cache, lock = cache_folder(root), read_lock(there)
    for name, declared in read_declarations(there).items():
        for out in declared.outs:
            md5 = lock[name].outs.get(as_locked(there, out)) if name in lock else None
            if links.inside(there / out, out).exists() or md5 is None or out in declared.uncached:
                continue
            stored = object_path(cache, md5)
            if not md5.endswith(FOLDER):
                links.make(stored, there / out, out)
            elif stored.is_file():
                for relative, of_file in _listed(stored, out).items():
                    links.make(object_path(cache, of_file), there / out / relative, f"{out}/{relative}")


def _listed(stored: Path, out: str) -> dict[str, str]:
    try:
        return parse_listing(stored.read_bytes())
    except ListingError as error:
        raise GoodfitError(f"nothing was read of the revision: the list of {out} in DVC's cache, {stored}: {error}") from None


def _link_others(root: Path, there: Path, links: _Links) -> None:
    """Inputs that are neither in Git, whose files are all there, nor written by a stage: as they lie there now."""
    declarations = read_declarations(there)
    for declared in declarations.values():
        for dep in declared.deps:
            if producer(declarations, dep) is None and not os.path.lexists(there / dep):
                links.make(root / dep, there / dep, dep)
