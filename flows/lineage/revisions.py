"""What a revision is: the one place where `--rev REV` becomes a commit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.git import git_lines, git_or_none
from flows.lineage.blobs import objects_at
from flows.lineage.lock import LOCK_FILE
from tasks.core.errors import GoodfitError


def experiments(root: Path) -> dict[str, list[str]]:
    """The names of DVC's experiments by commit; a reference is refs/exps/<2 digits>/<38 digits of the baseline>/<name>.

    A commit may have several names, and experiments of different baselines the same one.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    listed = git_lines(root, "for-each-ref", "--format=%(objectname)%09%(refname)", "refs/exps")
    found: dict[str, list[str]] = {}
    for line in listed:
        commit, _, name = line.partition("\t")
        if len(parts := name.split("/")) == 5:
            found.setdefault(commit, []).append(parts[4])
    return found


def unique_names(found: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """By commit, the first of its names, of those of `experiments`, that no other commit has."""
    count = Counter(name for names in found.values() for name in set(names))
    alone = ((commit, [name for name in names if count[name] == 1]) for commit, names in found.items())
    return {commit: names[0] for commit, names in alone if names}


def commit_of(root: Path, revision: str) -> str:
    """The whole hash of a commit, branch or tag, as Git itself knows it, or else of the experiment of that name.

    Raises:
        GoodfitError: there is no Git, no Git repository, no such revision, or there are several experiments of that name.
    """
    found = experiments(root)
    commit = commit_named(root, revision)
    if commit is not None:  # an experiment, which may be anybody's, must not stand for a tag of the same name
        return commit
    same = [commit for commit, names in found.items() if revision in names]
    if not same:
        known = sorted({name for names in found.values() for name in names})
        other = f", or an experiment ({', '.join(known)})" if known else " (DVC has no experiment here)"
        raise GoodfitError(f"there is no revision '{revision}'; expected a commit, a branch or a tag{other}")
    if len(same) > 1:
        commits = " and ".join(commit[:12] for commit in same)
        raise GoodfitError(f"'{revision}' is the name of {len(same)} experiments; expected one of their commits: {commits}")
    return same[0]


def recorded_commit(root: Path, revision: str) -> str:
    """As `commit_of`, of a revision that records something.

    Raises:
        GoodfitError: as `commit_of`, or the commit has no dvc.lock.
    """
    commit = commit_of(root, revision)
    if not objects_at(root, [(commit, LOCK_FILE)]):
        raise GoodfitError(f"{LOCK_FILE} is not in {revision}: nothing was recorded there")
    return commit


def commit_named(root: Path, revision: str) -> str | None:
    """The whole hash of what Git itself knows by this name; None where it knows nothing, as HEAD before the first commit."""
    found = git_or_none(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found is None or found.startswith(b"^"):  # Git answers `^HEAD`, which is all but that commit
        return None
    return found.decode().strip()
