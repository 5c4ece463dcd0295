"""Remove from DVC's cache what nothing reaches, and say before what it was and which claims lose their proof."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.git import git_text
from flows.lineage.cleaning.claims import Claim, claims
from flows.lineage.cleaning.reached import objects, reached
from flows.processes.dvc_locks import dvc_lock
from flows.processes.locks import held_stages, is_locked
from flows.processes.run_lock import LOCK
from flows.processes.rwlock import FILE, living
from flows.repository import cache_folder
from tasks.core.errors import GoodfitError

TEMPORARY = Path(".dvc/tmp")


@dataclass(frozen=True)
class Unreached:
    """An object that nothing reaches."""

    md5: str
    size: int  # bytes
    names: list[str]
    claims: list[Claim]


@dataclass(frozen=True)
class Garbage:
    """What could be removed."""

    objects: list[Unreached]
    kept: int  # objects that something reaches
    lost: list[str]  # folders that are named and whose list is gone: what was in them cannot be told from garbage

    @property
    def size(self) -> int:
        return sum(one.size for one in self.objects)


def find_garbage(root: Path, *, reflogs: bool = True) -> Garbage:
    """Find the objects of DVC's cache that no commit, tag, branch, stash, experiment, working tree or signature reaches.

    Args:
        root: the repository.
        reflogs: a commit that only a reflog still names counts, too, such as one of an experiment that was removed. Git itself forgets
            it after some weeks.

    Raises:
        GoodfitError: a run is going on, the clone is shallow, the cache is not this repository's alone, or something cannot be read.
    """
    with _quiet(root) as cache:
        return _find(root, cache, reflogs=reflogs)


def remove_garbage(root: Path, garbage: Garbage, *, reflogs: bool = True) -> list[str]:
    """Remove what was found, except what something reaches by now; return the MD5 of what was removed.

    Raises:
        GoodfitError: as `find_garbage`.
    """
    with _quiet(root) as cache:
        present, still = objects(cache), reached(root, cache, reflogs=reflogs)
        chosen = [one.md5 for one in garbage.objects if one.md5 in present and one.md5 not in still.objects]
        # The lists of folders first, as DVC does: a kill in between leaves files without a list, and no list without its files.
        for md5 in sorted(chosen, key=lambda one: not one.endswith(".dir")):
            present[md5].unlink(missing_ok=True)
    return chosen


def _find(root: Path, cache: Path, *, reflogs: bool) -> Garbage:
    present, named = objects(cache), reached(root, cache, reflogs=reflogs)
    unreached = {md5: file for md5, file in present.items() if md5 not in named.objects}
    names, found = claims(root, cache, unreached, reflogs=reflogs) if unreached else ({}, {})
    listed = [
        Unreached(md5, file.stat().st_size, sorted(names.get(md5, ())), sorted(found.get(md5, ())))
        for md5, file in unreached.items()
    ]
    listed.sort(key=lambda one: (one.names or ["~"], one.md5))
    return Garbage(listed, len(present) - len(unreached), named.lost)


@contextmanager
def _quiet(root: Path) -> Iterator[Path]:
    """Hold DVC's lock of the repository, and refuse where a run may be writing into the cache; the cache's folder."""
    from dvc.lock import LockError

    cache = cache_folder(root)
    if not cache.resolve().is_relative_to(root.resolve()):
        raise GoodfitError(
            f"the cache {cache} lies outside of the repository, and others may share it; nothing was removed: `dvc gc --projects` "
            "counts what they use, too"
        )
    if git_text(root, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise GoodfitError(
            "this clone is shallow: older commits, which it lacks, may need what would be removed; `git fetch --unshallow` brings them"
        )
    try:
        with dvc_lock(root):
            _require_no_run(root)
            yield cache
    except LockError:
        raise GoodfitError("another command of DVC is running here; wait until it has ended. Nothing was removed") from None


def _require_no_run(root: Path) -> None:
    running = [f"the stage {name} is running" for name in held_stages(root)]
    if is_locked(root / TEMPORARY / LOCK):
        running.append("a run of the pipeline is going on")
    running += [f"process {pid} (`{command}`) is at work" for pid, command in _at_work(root)]
    if running:
        raise GoodfitError(
            f"nothing was removed: {'; '.join(running)}; expected no run, because it may be writing into the cache"
        )


def _at_work(root: Path) -> Iterator[tuple[int, str]]:
    """The living processes that DVC says read or write files here, or in the folder of an experiment, which shares the cache.

    What DVC notes of an experiment's state is no help: it still says `running` after the end.
    """
    for file in (root / TEMPORARY / FILE, *sorted((root / TEMPORARY / "exps").rglob(FILE))):
        yield from living(file)
