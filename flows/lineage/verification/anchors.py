"""What holds dvc.lock fast from outside: the commit that has it, and who signed that.

Files, statements and dvc.lock that agree with each other are `consistent`: whoever can write them all can forge them all. A commit that
others have, a signed tag or a signature cannot be changed with them.
"""

import re
from pathlib import Path

from flows.git import GitError, NoGitError, distrusted_settings, git, git_messages
from flows.lineage.lock import LOCK_FILE
from flows.lineage.verification.committed import blob_in, comes_before
from flows.lineage.verification.outcome import Anchor
from tasks.core.errors import GoodfitError

SIGNATURES = {  # by the letters of Git's `%G?`
    "G": "signed by {}",
    "U": "signed by {}, whose key is not known to be trusted here",
    "B": "whose signature is NOT VALID",
    "R": "signed with a key that was revoked",
    "X": "signed, and the signature has expired",
    "Y": "signed with a key that has expired",
    "E": "whose signature cannot be checked here, since its key, or the program that checks it, is missing",
}
GOOD_TAG = re.compile(
    r'^(?:\[GNUPG:\] GOODSIG \S+ (?P<gpg>.+)|Good "git" signature for (?P<ssh>.+) with \S+ key \S+)$', re.MULTILINE
)
UNKNOWN_KEY = re.compile(r"^\[GNUPG:\] TRUST_(UNDEFINED|NEVER)\b", re.MULTILINE)


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
    here = git(root, "hash-object", "--stdin", f"--path={LOCK_FILE}", given=lock).decode().strip() if lock else None
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
    date = _shown(root, commit, "%cs")
    return f"{commit[:7]} of {date}, {_signature(root, commit)}"


def _signature(root: Path, commit: str) -> str:
    """Who signed a commit, or a tag of a commit that comes after it, by the settings of whoever verifies."""
    letter, key, who = _shown(root, commit, "%G?%x09%GF%x09%GS").split("\t", 2)
    if letter == "N" and _has_signature(root, commit):
        letter = "E"  # Git could not start the check, as where gpg is not installed
    who = who or (f"the key {key}" if key else "an unnamed key")
    said = SIGNATURES[letter].format(who) if letter in SIGNATURES else ""
    if letter == "G":
        return said
    tagged, is_good = _in_tag(root, commit)
    told = ", ".join(filter(None, [said, tagged])) or "which is not signed"
    return told if is_good or not (said or tagged) else told + _distrusted(root)


def _shown(root: Path, commit: str, form: str) -> str:
    """Of a commit; an error of Git's stops it, as where a setting has no valid value."""
    return git(root, "show", "-s", f"--format={form}", commit).decode(errors="replace").removesuffix("\n")


def _has_signature(root: Path, commit: str) -> bool:
    header = (_git(root, "cat-file", "commit", commit) or "").partition("\n\n")[0]
    return "\ngpgsig" in header


def _in_tag(root: Path, commit: str) -> tuple[str, bool]:
    """A signed tag of a commit whose history holds this one, with who signed it, and whether the signature is good; none is empty."""
    form = "--format=%(refname)%09%(if)%(contents:signature)%(then)signed%(end)"
    listed = _git(root, "for-each-ref", form, "--contains", commit, "--sort=creatordate", "refs/tags") or ""
    bad = ""
    for line in listed.split("\n"):  # `splitlines` also splits within a name
        tag, _, signed = line.partition("\t")
        if not signed:
            continue
        signer = _signer(root, tag)
        if signer is None:
            bad = bad or f"in the tag {tag.removeprefix('refs/tags/')}, whose signature is not valid or cannot be checked here"
            continue
        # These lines are signed; what Git finds by itself is not, the name of the reference included.
        tagged = (_git(root, "cat-file", "tag", tag) or "").split("\n")
        if tagged[1:2] == ["type commit"] and comes_before(root, commit, tagged[0].removeprefix("object ")):
            return f"in the tag {tagged[2].removeprefix('tag ')} {signer}", True
    return bad, False


def _signer(root: Path, tag: str) -> str | None:
    """Who signed a tag; None where the signature is not good.

    Git has no format for it before 2.43; these are the lines that gpg and gpgsm write for programs, and the one of ssh-keygen.
    """
    try:
        said = git_messages(root, "verify-tag", "--raw", tag)
    except NoGitError:
        raise
    except GitError:
        return None
    found = GOOD_TAG.search(said)
    who = (found["gpg"] or found["ssh"]) if found else "an unnamed key"
    return SIGNATURES["U" if UNKNOWN_KEY.search(said) else "G"].format(who)


def _distrusted(root: Path) -> str:
    """What to do where the repository's own settings say how a signature is checked."""
    # gpg.format is about new signatures alone.
    names = [name for name in distrusted_settings(root) if name.startswith("gpg.") and name != "gpg.format"]
    if not names:
        return ""
    return (
        f" (the repository's own settings do not count here, since whoever hands a repository over can write them: {', '.join(names)}; "
        "set your own with `git config --global`)"
    )


def _git(root: Path, *arguments: str, given: bytes = b"") -> str | None:
    """What Git prints; None where it fails, and an error where there is no Git."""
    try:
        return git(root, *arguments, given=given).decode(errors="replace").strip()
    except NoGitError:
        raise
    except GitError:
        return None
