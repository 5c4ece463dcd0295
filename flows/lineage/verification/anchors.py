"""What holds dvc.lock fast from outside: the commit that has it, and who signed that.

Files, statements and dvc.lock that agree with each other are `consistent`: whoever can write them all can forge them all. A commit that
others have, a signed tag or a signature cannot be changed with them.
"""

from collections.abc import Iterator
from pathlib import Path

from flows.git import GitError, NoGitError, git
from flows.lineage.lock import LOCK_FILE
from flows.lineage.verification.committed import blob_in, comes_before
from flows.lineage.verification.outcome import Anchor
from tasks.core.errors import GoodfitError

SIGNATURES = {"G": "signed by {}", "U": "signed by {}, whose key is not known to be trusted here"}
BAD = {
    "B": "whose signature is NOT VALID",
    "R": "signed with a key that was revoked",
    "X": "signed, and the signature has expired",
    "Y": "signed with a key that has expired",
    "E": "signed with a key that is not here, so that the signature cannot be checked",
}


def anchors(root: Path, revision: str, lock: bytes) -> tuple[list[Anchor], str]:
    """What holds a dvc.lock fast, and why nothing does where that is so. The place for each new kind of anchor.

    Args:
        root: the Git repository.
        revision: the commit that dvc.lock should be that of.
        lock: the bytes of dvc.lock; none where there is no such file.
    """
    try:
        anchor = _committed(root, revision, lock)
    except NoGitError:
        return [], f"there is no program `git`, so that no commit can vouch for {LOCK_FILE}"
    except GoodfitError as error:  # objects that are missing, damaged or forged
        return [], str(error)
    return ([], anchor) if isinstance(anchor, str) else ([anchor], "")


def _committed(root: Path, revision: str, lock: bytes) -> Anchor | str:
    """The newest commit that changed dvc.lock, if it has the very bytes; else why there is none."""
    head = _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if head is None:
        inside = _git(root, "rev-parse", "--git-dir") is not None
        return f"{LOCK_FILE} is in no commit yet" if inside else "there is no Git repository that could vouch for dvc.lock"
    # --path: with the filters that `git add` would apply, such as that of line ends.
    here = _git(root, "hash-object", "--stdin", f"--path={LOCK_FILE}", given=lock) if lock else None
    there = blob_in(root, head, LOCK_FILE)
    if here is not None and here == there:
        changed = _git(root, "rev-list", "-1", head, "--", LOCK_FILE) or head
        commit = changed if blob_in(root, changed, LOCK_FILE) == here else head  # Git's own answer may rest on forged objects
        return Anchor(f"commit {_described(root, commit)}", commit)
    short = head[:7]
    other = _other_commit(root, here) if here else None
    if other:
        return f"{LOCK_FILE} is that of {other}, not that of {short}, which is checked out"
    if there is None:
        return f"{LOCK_FILE} is not committed"
    return f"{LOCK_FILE} is not committed: it is not that of {short}, which is checked out"


def _other_commit(root: Path, blob: str) -> str | None:
    """The oldest commit anywhere in the repository whose dvc.lock has these bytes, by its experiment's name where it is one."""
    found = _git(root, "log", "--all", "--no-decorate", "--format=%H", f"--find-object={blob}", "--", LOCK_FILE)
    commits = found.split() if found else []
    having = [commit for commit in commits if _git(root, "rev-parse", "--quiet", "--verify", f"{commit}:./{LOCK_FILE}") == blob]
    if not having:
        return None
    listed = _git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or ""
    names = dict(line.split(" ", 1) for line in listed.split("\n") if line)
    experiment = next((names[commit].rpartition("/")[2] for commit in having if commit in names), None)
    described = _described(root, having[-1])
    return f"the experiment {experiment} (commit {described})" if experiment else f"commit {described}"


def _described(root: Path, commit: str) -> str:
    """`0a86d29 of 2026-11-27, which is not signed`."""
    date = _git(root, "show", "-s", "--format=%cs", commit)
    return f"{commit[:7]} of {date}, {_signature(root, commit)}"


def _signature(root: Path, commit: str) -> str:
    letter, _, who = (_git(root, "show", "-s", "--format=%G?%x09%GS", commit) or "N").partition("\t")
    if letter in SIGNATURES:
        return SIGNATURES[letter].format(who or "an unnamed key")
    tag = next(_signed_tags(root, commit), None)
    vouched = f"in the signed tag {tag}" if tag else BAD.get(letter, "which is not signed")
    return f"{vouched}, {BAD[letter]}" if tag and letter in BAD else vouched


def _signed_tags(root: Path, commit: str) -> Iterator[str]:
    """Tags with a good signature, of a commit whose history holds this one."""
    form = "--format=%(refname)%09%(if)%(contents:signature)%(then)signed%(end)"
    listed = _git(root, "for-each-ref", form, "--contains", commit, "--sort=creatordate", "refs/tags") or ""
    for line in listed.split("\n"):  # `splitlines` also splits within a name
        tag, _, signed = line.partition("\t")
        if signed and _git(root, "verify-tag", tag) is not None:
            # These lines are signed; what Git finds by itself is not.
            tagged = (_git(root, "cat-file", "tag", tag) or "").split("\n")
            if tagged[1:2] == ["type commit"] and comes_before(root, commit, tagged[0].removeprefix("object ")):
                yield tag.removeprefix("refs/tags/")


def _git(root: Path, *arguments: str, given: bytes = b"") -> str | None:
    """What Git prints; None where it fails, and an error where there is no Git."""
    try:
        return git(root, *arguments, given=given).decode(errors="replace").strip()
    except NoGitError:
        raise
    except GitError:
        return None
