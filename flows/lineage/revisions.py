"""What a revision is: the one place where `--rev REV` becomes a commit."""

from pathlib import Path

from flows.git import git_lines, git_or_none
from flows.lineage.blobs import objects_at
from flows.lineage.lock import LOCK_FILE
from tasks.core.errors import GoodfitError


def experiments(root: Path) -> dict[str, str]:
    """The names of DVC's experiments by commit; a reference is refs/exps/<2 digits>/<38 digits of the baseline>/<name>.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    listed = git_lines(root, "for-each-ref", "--format=%(objectname)%09%(refname)", "refs/exps")
    references = (line.partition("\t") for line in listed)
    return {commit: parts[4] for commit, _, name in references if len(parts := name.split("/")) == 5}


def commit_of(root: Path, revision: str) -> str:
    """The whole hash of a commit, branch, tag, or of the experiment of that name.

    Raises:
        GoodfitError: there is no Git, no Git repository, or no such revision.
    """
    names = {name: commit for commit, name in experiments(root).items()}
    commit = names.get(revision) or commit_named(root, revision)
    if commit is None:
        known = f", or an experiment ({', '.join(sorted(names))})" if names else " (DVC has no experiment here)"
        raise GoodfitError(f"there is no revision '{revision}'; expected a commit, a branch or a tag{known}")
    return commit


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
