"""Which blob a commit has at a path, and what comes before a commit, read from objects of Git whose bytes were hashed again.

Git looks an object up by its name, and most of its commands do not hash what they find there: whoever can write into `.git/objects` can
put another tree under the name of the honest one, and every commit above it keeps its hash and its signature.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from flows.git import git_text
from flows.lineage.blobs import contents
from tasks.core.errors import GoodfitError


class ForgedObjectError(GoodfitError):
    """An object of Git has other bytes than its name says."""


def blob_in(root: Path, commit: str, path: str) -> str | None:
    """The name of the blob at `path`, relative to `root`, in the commit with this whole hash; None where the commit has none there.

    Raises:
        ForgedObjectError: the commit, or a tree on the way, has other bytes than its name says.
        GoodfitError: there is no Git, or one of these objects cannot be read.
    """
    folder = git_text(root, "rev-parse", "--show-prefix").removesuffix("\n")
    first, _, _ = _read(root, commit, "commit").partition(b"\n")
    found: str | None = first.removeprefix(b"tree ").decode()
    for part in f"{folder}{path}".split("/"):
        if found is None:
            return None
        entries = dict(_entries(_read(root, found, "tree"), len(found) // 2))
        found = entries.get(part.encode(errors="surrogateescape"))
    return found


def comes_before(root: Path, commit: str, later: str) -> bool:
    """Whether a commit is another or comes before it; both are whole hashes.

    Git finds the commits between them, by files such as `.git/info/grafts` too; their own bytes say which ones are their parents.

    Raises:
        ForgedObjectError: a commit has other bytes than its name says.
        GoodfitError: there is no Git, or one of these objects cannot be read.
    """
    between = git_text(root, "rev-list", "--ancestry-path", later, f"^{commit}").split()
    parents = {name: _parents(_checked(name, "commit", content)) for name, content in contents(root, between)}
    reached, following = {later}, [later]
    while following:
        new = set(parents.get(following.pop(), ())) - reached
        reached |= new
        following += new
    return commit in reached


def _parents(commit: bytes) -> list[str]:
    header = commit.partition(b"\n\n")[0].decode(errors="replace")
    return [line.removeprefix("parent ") for line in header.split("\n") if line.startswith("parent ")]


def _read(root: Path, name: str, kind: str) -> bytes:
    ((_, content),) = contents(root, [name])
    return _checked(name, kind, content)


def _checked(name: str, kind: str, content: bytes) -> bytes:
    """The content, which is that of its name: a SHA-1 or, in newer repositories, a SHA-256."""
    digest = hashlib.new("sha1" if len(name) == 40 else "sha256", usedforsecurity=False)
    digest.update(f"{kind} {len(content)}\0".encode() + content)
    if digest.hexdigest() != name:
        raise ForgedObjectError(
            f"Git's objects are damaged or forged: {kind} {name[:7]} has the hash {digest.hexdigest()[:7]}; check the repository with "
            "`git fsck`, and verify in a fresh clone from a place that you trust"
        )
    return content


def _entries(tree: bytes, width: int) -> Iterator[tuple[bytes, str]]:
    """Each entry's name and object: `<mode> <name>\\0` and the bytes of the hash, `width` of them."""
    while tree:
        about, _, rest = tree.partition(b"\0")
        yield about.partition(b" ")[2], rest[:width].hex()
        tree = rest[width:]
