"""The commit that a revision names."""

import subprocess
from pathlib import Path

from flows.lineage.blobs import git
from tasks.core.errors import GoodfitError


def commit_of(root: Path, revision: str) -> str:
    """The whole hash of a commit, branch, tag, or of DVC's experiment of that name.

    Raises:
        GoodfitError: there is no such revision, or no Git repository.
    """
    listed = git(root, "for-each-ref", "--format=%(objectname)%09%(refname)", "refs/exps")
    references = (line.partition("\t") for line in listed.splitlines())
    # refs/exps/<2 digits>/<38 digits of the baseline>/<name>
    names = {parts[4]: commit for commit, _, name in references if len(parts := name.split("/")) == 5}
    commit = names.get(revision) or _commit(root, revision)
    if commit is None:
        known = f", or an experiment ({', '.join(sorted(names))})" if names else " (DVC has no experiment here)"
        raise GoodfitError(f"there is no revision '{revision}'; expected a commit, a branch or a tag{known}")
    return commit


def _commit(root: Path, revision: str) -> str | None:
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
