"""Every dvc.lock that Git still holds: of branches, tags, the newest stash, and DVC's experiments, which are Git commits too."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from flows.git import git_lines, git_text
from flows.lineage.blobs import contents, objects_at
from flows.lineage.lock import LOCK_FILE, Locked, LockFileError, parse_lock
from flows.lineage.quick_lock import read_text
from flows.lineage.revisions import commit_named, experiments, recorded_commit, unique_names

FORMAT = "%H%x09%h%x09%cI%x09%an"
WORKING_TREE = "working tree"  # the name of the snapshot that no commit has


@dataclass(frozen=True)
class Snapshot:
    """What a dvc.lock records of some stages."""

    name: str  # the experiment, or the abbreviated commit
    date: str  # of the commit, ISO 8601
    stages: dict[str, Locked]
    commit: str = ""  # the whole hash of the commit that had it first; empty for what is not committed
    author: str = ""
    experiment: bool = False

    @property
    def time(self) -> datetime:
        """Of the commit; dates of several time zones cannot be compared as texts."""
        return datetime.fromisoformat(self.date)


@dataclass
class History:
    """What commits recorded, the oldest first."""

    snapshots: list[Snapshot] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # commits whose dvc.lock is not what DVC writes
    shallow: bool = False  # the clone lacks older commits


@dataclass(frozen=True)
class _Commit:
    whole: str
    short: str
    date: str
    author: str


def read_history(root: Path, only: Collection[str] | None = None) -> History:
    """Read dvc.lock, reduced to the stages in `only`, at every commit that changed it and that a reference leads to.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    # Git's usual history would leave out a merged branch whose dvc.lock the merge did not keep.
    return _read(root, list(_commits(root, "--all", "--full-history", "--date-order")), only, once=True)


def read_line(root: Path, revision: str = "HEAD") -> History:
    """Read dvc.lock at every commit that changed it on the way to a revision, along each commit's first parent; none before a commit.

    Here a dvc.lock comes again that an earlier commit had, as after an edit that was undone.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    there = commit_named(root, revision) is not None
    return _read(root, list(_commits(root, revision, "--first-parent")) if there else [], None, once=False)


def _read(root: Path, commits: list[_Commit], only: Collection[str] | None, *, once: bool) -> History:
    """The snapshots of the commits; with `once`, of those with the same dvc.lock the first alone."""
    history = History(shallow=git_text(root, "rev-parse", "--is-shallow-repository").strip() == "true")
    tried = experiments(root)
    named = unique_names(tried)
    found = objects_at(root, ((commit.whole, LOCK_FILE) for commit in commits))
    by_text: dict[str, list[_Commit]] = {}
    for commit in commits:
        if text := found.get((commit.whole, LOCK_FILE)):  # a commit that removed dvc.lock has none
            by_text.setdefault(text, []).append(commit)
    read: dict[str, Snapshot] = {}
    for text, content in contents(root, by_text):
        same = by_text[text][:1] if once else by_text[text]
        try:
            stages = read_text(content.decode(errors="replace"), only)
        except LockFileError:
            history.unreadable += [named.get(commit.whole, commit.short) for commit in same]
            continue
        for commit in same:
            name, experiment = named.get(commit.whole, commit.short), commit.whole in tried
            read[commit.whole] = Snapshot(name, commit.date, stages, commit.whole, commit.author, experiment)
    history.snapshots = [read[commit.whole] for commit in commits if commit.whole in read]
    return history


def _commits(root: Path, *options: str) -> Iterator[_Commit]:
    """Those that changed dvc.lock, the oldest first."""
    # rev-list, as the user's settings can change what `git log` prints
    listed = git_lines(root, "rev-list", *options, "--reverse", f"--format={FORMAT}", "--", LOCK_FILE)
    yield from (_Commit(*line.split("\t", 3)) for line in listed if not line.startswith("commit "))


def lock_at(root: Path, revision: str) -> dict[str, Locked]:
    """What dvc.lock records at a revision: a commit, branch, tag, or the name of one of DVC's experiments.

    Raises:
        GoodfitError: there is no such revision, or it has no dvc.lock.
    """
    found = objects_at(root, [(recorded_commit(root, revision), LOCK_FILE)])
    ((_, content),) = contents(root, found.values())
    return parse_lock(content.decode(errors="replace"))
