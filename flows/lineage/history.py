"""Every dvc.lock that Git still holds: of branches, tags, the newest stash, and DVC's experiments, which are Git commits too."""

import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.lineage.blobs import contents, git, objects_at
from flows.lineage.lock import LOCK_FILE, Locked, LockFileError, parse_lock
from flows.lineage.quick_lock import read_text
from tasks.core.errors import GoodfitError

FORMAT = "%H%x09%h%x09%cI%x09%an"


@dataclass(frozen=True)
class Snapshot:
    """What a dvc.lock records of some stages."""

    name: str  # the experiment, or the abbreviated commit
    date: str  # of the commit, ISO 8601
    stages: dict[str, Locked]
    commit: str = ""  # the whole hash of the commit that had it first; empty for what is not committed
    author: str = ""
    experiment: bool = False


@dataclass
class History:
    """The distinct texts of dvc.lock, the oldest first."""

    snapshots: list[Snapshot] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # commits whose dvc.lock is not what DVC writes
    shallow: bool = False  # the clone lacks older commits


@dataclass(frozen=True)
class _Commit:
    whole: str
    short: str
    date: str
    author: str


def read_history(root: Path, only: Collection[str] | None = None, reached_by: str = "--all") -> History:
    """Read dvc.lock, reduced to the stages in `only`, at every commit that changed it and that a reference leads to.

    Args:
        root: the repository.
        only: these stages; all with None.
        reached_by: a revision, for the commits behind that one alone.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    history = History(shallow=git(root, "rev-parse", "--is-shallow-repository").strip() == "true")
    named, commits = experiments(root), list(_commits(root, reached_by))
    found = objects_at(root, ((commit.whole, LOCK_FILE) for commit in commits))
    first: dict[str, _Commit] = {}
    for commit in commits:
        if text := found.get((commit.whole, LOCK_FILE)):  # a commit that removed dvc.lock has none
            first.setdefault(text, commit)
    for text, content in contents(root, first):
        commit = first[text]
        name = named.get(commit.whole, commit.short)
        try:
            stages = read_text(content.decode(errors="replace"), only)
        except LockFileError:
            history.unreadable.append(name)
            continue
        history.snapshots.append(
            Snapshot(name, commit.date, stages, commit.whole, commit.author, experiment=commit.whole in named)
        )
    return history


def _commits(root: Path, reached_by: str) -> Iterator[_Commit]:
    """Git's usual history would leave out a merged branch whose dvc.lock the merge did not keep."""
    if reached_by != "--all" and _commit(root, reached_by) is None:  # nothing was committed yet
        return
    # rev-list, as the user's settings can change what `git log` prints
    listed = git(
        root, "rev-list", reached_by, "--full-history", "--date-order", "--reverse", f"--format={FORMAT}", "--", LOCK_FILE
    )
    yield from (_Commit(*line.split("\t", 3)) for line in listed.splitlines() if not line.startswith("commit "))


def experiments(root: Path) -> dict[str, str]:
    """The names of DVC's experiments by commit; a reference is refs/exps/<2 digits>/<38 digits of the baseline>/<name>.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    listed = git(root, "for-each-ref", "--format=%(objectname)%09%(refname)", "refs/exps")
    references = (line.partition("\t") for line in listed.splitlines())
    return {commit: parts[4] for commit, _, name in references if len(parts := name.split("/")) == 5}


def commit_of(root: Path, revision: str) -> str:
    """The whole hash of a commit, branch, tag, or of the experiment of that name.

    Raises:
        GoodfitError: there is no such revision.
    """
    names = {name: commit for commit, name in experiments(root).items()}
    commit = names.get(revision) or _commit(root, revision)
    if commit is None:
        known = f", or an experiment ({', '.join(sorted(names))})" if names else " (DVC has no experiment here)"
        raise GoodfitError(f"there is no revision '{revision}'; expected a commit, a branch or a tag{known}")
    return commit


def lock_at(root: Path, revision: str) -> dict[str, Locked]:
    """What dvc.lock records at a revision: a commit, branch, tag, or the name of one of DVC's experiments.

    Raises:
        GoodfitError: there is no such revision, or it has no dvc.lock.
    """
    commit = commit_of(root, revision)
    found = objects_at(root, [(commit, LOCK_FILE)])
    if not found:
        raise GoodfitError(f"{LOCK_FILE} is not in {revision}: nothing was recorded there")
    ((_, content),) = contents(root, found.values())
    return parse_lock(content.decode(errors="replace"))


def _commit(root: Path, revision: str) -> str | None:
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
