"""The objects of DVC's cache that something still names: a version of Git, the working tree, or a signature.

More is kept than `dvc gc --all-commits --all-experiments` keeps: every MD5 that stands anywhere in a `dvc.lock` or `.dvc` file counts,
in each version that a reference, a stash, the index or a reflog still leads to, in every folder of the Git repository.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.git import GitError, git_text
from flows.lineage.blobs import contents
from flows.lineage.lock import LOCK_FILE
from flows.lineage.signing.signature import PREDICATE_TYPE
from flows.repository import object_path
from tasks.core.errors import GoodfitError

TOKEN = re.compile(rb"[0-9a-f]{32}(?:\.dir)?")
STATEMENT = re.compile(rb"path: lineage/[^\n]+\.json\n(?:\s+(?:hash|size): [^\n]*\n)*\s+md5: ([0-9a-f]{32})\b")
EXPERIMENT_PARTS = 5  # refs/exps/<2 digits>/<38 digits of the baseline>/<name>
SECTION = re.compile(rb"\s*(deps|outs|params):\s*")
# Of a commit in what `git diff-tree -m` prints; of a merge, such as a stash, once for each parent.
HEADER = re.compile(r"([0-9a-f]{40,64})(?: \(from [0-9a-f]{40,64}\))?")
NAMES = (LOCK_FILE, "*.dvc", "*.dsse.json")
IS_STATEMENT = b'"_type": "https://in-toto.io/Statement/v1"'
SKIPPED = {".git", ".venv", "node_modules", "__pycache__"}


def objects(cache: Path) -> dict[str, Path]:
    """Every object of the cache, by its MD5 as dvc.lock has it."""
    folder = cache / "files" / "md5"
    return {f"{file.parent.name}{file.name}": file for file in sorted(folder.glob("[0-9a-f][0-9a-f]/*")) if file.is_file()}


@dataclass(frozen=True)
class Reached:
    """What is named, by MD5: `….dir` for a folder's list; the objects that it lists are there, too."""

    objects: set[str]
    lost: list[str]  # lists of recorded folders that the cache has no more: which files were in them cannot be told


def reached(root: Path, cache: Path, *, reflogs: bool) -> Reached:
    """Find what is named.

    Raises:
        GoodfitError: there is no Git repository, or a version in it cannot be read.
    """
    texts = [*_in_git(root, reflogs=reflogs), *_in_the_tree(root, cache)]
    found = {token.decode() for text in texts for token in TOKEN.findall(text)}
    found |= _linked(root, cache)
    statements = {match.decode() for text in texts for match in STATEMENT.findall(text)}
    signed = _signed(cache, texts)
    for md5 in statements | signed:
        found |= {md5, *_tokens(object_path(cache, md5))}
    found |= _whole_folders(cache, found) if signed else set()
    for md5 in [one for one in found if one.endswith(".dir")]:
        found |= _tokens(object_path(cache, md5))
    folders = {md5 for text in texts for md5 in _folders(text)}
    return Reached(found, sorted(md5 for md5 in folders if not object_path(cache, md5).is_file()))


def _whole_folders(cache: Path, found: set[str]) -> set[str]:
    """Lists of folders whose files are all named: a statement names the files of a folder, and not the list."""
    lists = ((md5, _tokens(file)) for md5, file in objects(cache).items() if md5.endswith(".dir"))
    return {md5 for md5, members in lists if members <= found}


def _folders(text: bytes) -> Iterator[str]:
    """The folders among the outputs of a dvc.lock or .dvc file; those among the inputs need not be in the cache."""
    section = b""
    for line in text.splitlines():
        section = line.strip() if SECTION.fullmatch(line) else section
        if section == b"outs:":
            yield from (token.decode() for token in TOKEN.findall(line) if token.endswith(b".dir"))


def versions(root: Path, commits: str) -> dict[str, str]:
    """The Git objects of each file of interest that one of the commits (one on each line) brought, with a commit that did."""
    # diff-tree, because a path that is one of several names of the same bytes is not what `rev-list --objects` would call it.
    command = ["diff-tree", "--stdin", "-r", "-m", "--root", "--no-renames", "--raw", "--no-abbrev", "-z", "--"]
    command += [f":(top,glob)**/{name}" for name in NAMES]
    lines = f"{commits.rstrip()}\n"  # diff-tree does not look at a last line without its end
    listed = git_text(root, *command, given=lines) if commits else ""
    found: dict[str, str] = {}
    commit = ""
    for part in listed.split("\0"):
        for line in part.split("\n"):
            if header := HEADER.fullmatch(line):
                commit = header[1]
            elif line.startswith(":"):
                kind, blob, status = line.split(" ")[1], line.split(" ")[3], line.split(" ")[4]
                if status[0] != "D" and kind.startswith(("100", "120")):
                    found.setdefault(blob, commit)
    return found


def _in_git(root: Path, *, reflogs: bool) -> Iterator[bytes]:
    # Reflogs hold what an amended commit, a moved branch or a removed experiment left.
    starts = ["--reflog"] if reflogs else _stashes(root)
    blobs = set(versions(root, git_text(root, "rev-list", "--all", *starts)))
    staged = git_text(root, "ls-files", "--stage", "-z", "--", *(f":(top,glob)**/{name}" for name in NAMES))
    blobs |= {entry.split(" ")[1] for entry in staged.split("\0") if entry}
    yield from (content for _, content in contents(root, sorted(blobs)))


def _stashes(root: Path) -> list[str]:
    """The stashes behind the newest, and the experiments that wait in DVC's queue: these are in a reflog alone."""
    listed = git_text(root, "for-each-ref", "--format=%(refname)", "refs/stash", "refs/exps").split()
    queues = [name for name in listed if name == "refs/stash" or len(name.split("/")) < EXPERIMENT_PARTS]
    return [commit for name in queues for commit in git_text(root, "rev-list", "--walk-reflogs", name).split()]


def _in_the_tree(root: Path, cache: Path) -> Iterator[bytes]:
    """Also what Git does not have, and what DVC's temporary folders of experiments hold."""
    for file in _files(root, cache):
        name = file.name
        if name == LOCK_FILE or name.endswith((".dvc", ".dsse.json")):
            try:
                yield file.read_bytes()
            except FileNotFoundError:  # a link to nothing
                continue
            except OSError as error:
                raise GoodfitError(
                    f"{file} cannot be read ({error.strerror}), and may name objects that are to be kept"
                ) from None


def _linked(root: Path, cache: Path) -> set[str]:
    """Objects that a file of the working tree is a link to."""
    inside = (cache / "files" / "md5").resolve()
    targets = (Path(os.path.realpath(file)) for file in _files(root, cache) if file.is_symlink())
    return {f"{one.parent.name}{one.name}" for one in targets if one.parent.parent == inside}


def _files(root: Path, cache: Path) -> Iterator[Path]:
    top, inside = Path(git_text(root, "rev-parse", "--show-toplevel").rstrip("\n")), cache.resolve()
    for folder in dict.fromkeys((top, root.resolve())):
        for parent, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if name not in SKIPPED and Path(parent, name).resolve() != inside]
            links = (name for name in folders if Path(parent, name).is_symlink())
            yield from (Path(parent, name) for name in (*files, *links) if Path(parent, name).is_file())


def _tokens(file: Path) -> set[str]:
    try:
        return {token.decode() for token in TOKEN.findall(file.read_bytes())}
    except OSError:
        return set()


def _signed(cache: Path, texts: Iterable[bytes]) -> set[str]:
    """The objects that a signature covers, found by their SHA-256: the dvc.lock that named them may be gone."""
    digests = {sha256 for text in texts for sha256 in _subjects(text)}
    if not digests:
        return set()
    return {md5 for md5, file in objects(cache).items() if is_statement(file) and _sha256(file) in digests}


def _subjects(text: bytes) -> set[str]:
    try:
        payload = json.loads(base64.b64decode(json.loads(text)["payload"]))
        return {one["digest"]["sha256"] for one in payload["subject"]} if payload["predicateType"] == PREDICATE_TYPE else set()
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()


def is_statement(file: Path) -> bool:
    """Whether an object is a stage's statement, by how it begins."""
    with file.open("rb") as opened:
        return IS_STATEMENT in opened.read(200)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def unreachable_commits(root: Path, *, reflogs: bool) -> list[str]:
    """Commits that Git still has though nothing leads to them, such as those of experiments that were removed."""
    command = ["fsck", "--unreachable", "--connectivity-only", "--no-progress", "--no-dangling"]
    command += [] if reflogs else ["--no-reflogs"]
    try:
        printed = git_text(root, *command)
    except GitError as error:  # of a repository that is not whole, it tells what it has seen
        printed = error.printed.decode(errors="replace")
    return [line.split()[2] for line in printed.splitlines() if line.startswith("unreachable commit ")]
