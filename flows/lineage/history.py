"""Every dvc.lock that Git still holds: of branches, tags, the newest stash, and DVC's experiments, which are Git commits too."""

import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.lineage.lock import LOCK_FILE, Locked, LockFileError, parse_lock
from tasks.core.errors import GoodfitError


@dataclass(frozen=True)
class Snapshot:
    """What a dvc.lock records of some stages."""

    name: str  # the experiment, or the abbreviated commit
    date: str  # of the commit, ISO 8601
    stages: dict[str, Locked]


@dataclass
class History:
    """The distinct texts of dvc.lock, the oldest first."""

    snapshots: list[Snapshot] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # commits whose dvc.lock is not what DVC writes
    shallow: bool = False  # the clone lacks older commits


def read_history(root: Path, only: Collection[str]) -> History:
    """Read dvc.lock, reduced to the stages in `only`, at every commit that changed it and that a reference leads to.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    history = History(shallow=_git(root, "rev-parse", "--is-shallow-repository").strip() == "true")
    experiments, seen = _experiments(root), set[str]()
    for commit, short, date in _commits(root):
        text = _text(root, commit)
        if text is None or text in seen:
            continue
        seen.add(text)
        name = experiments.get(commit, short)
        try:
            history.snapshots.append(Snapshot(name, date, parse_lock(text, only)))
        except LockFileError:
            history.unreadable.append(name)
    return history


def _commits(root: Path) -> Iterator[list[str]]:
    """Hash, abbreviated hash and date. Git's usual history would leave out a merged branch whose dvc.lock the merge did not keep."""
    # rev-list, as the user's settings can change what `git log` prints
    listed = _git(
        root, "rev-list", "--all", "--full-history", "--date-order", "--reverse", "--format=%H%x09%h%x09%cI", "--", LOCK_FILE
    )
    yield from (line.split("\t") for line in listed.splitlines() if not line.startswith("commit "))


def _experiments(root: Path) -> dict[str, str]:
    """The names of DVC's experiments by commit; a reference is refs/exps/<2 digits>/<38 digits of the baseline>/<name>."""
    listed = _git(root, "for-each-ref", "--format=%(objectname)%09%(refname)", "refs/exps")
    references = (line.partition("\t") for line in listed.splitlines())
    return {commit: parts[4] for commit, _, name in references if len(parts := name.split("/")) == 5}


def lock_at(root: Path, revision: str) -> dict[str, Locked]:
    """What dvc.lock records at a revision: a commit, branch, tag, or the name of one of DVC's experiments.

    Raises:
        GoodfitError: there is no such revision, or it has no dvc.lock.
    """
    names = {name: commit for commit, name in _experiments(root).items()}
    commit = names.get(revision) or _commit(root, revision)
    text = _text(root, commit) if commit else None
    if commit is None:
        known = f", or an experiment ({', '.join(sorted(names))})" if names else " (DVC has no experiment here)"
        raise GoodfitError(f"there is no revision '{revision}'; expected a commit, a branch or a tag{known}")
    if text is None:
        raise GoodfitError(f"{LOCK_FILE} is not in {revision}: nothing was recorded there")
    return parse_lock(text)


def _commit(root: Path, revision: str) -> str | None:
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _text(root: Path, commit: str) -> str | None:
    """dvc.lock at a commit; None where the commit removed it."""
    # `./`: the project may be a folder of the Git repository
    command = ["git", "cat-file", "blob", f"{commit}:./{LOCK_FILE}"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError:
        raise GoodfitError("there is no program `git`, and the history of the project is in Git: install it") from None
    if done.returncode:
        raise GoodfitError(f"`git {arguments[0]}` failed in {root}: {done.stderr.strip()}; expected a Git repository")
    return done.stdout
