"""Digests of files: SHA-256 as evidence, MD5 to join it to dvc.lock."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path

from flows.lineage.ignore import ignored
from tasks.contracts.statement import Digest
from tasks.core.errors import ArtifactError

CHUNK = 1 << 20


# To open a named pipe waits for its writer, unless told not to.
AT_ONCE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def digest_file(path: Path) -> Digest:
    """Both digests in one reading.

    Raises:
        FileNotFoundError: there is no such file.
        ArtifactError: it is a named pipe, a socket or a device, which holds no bytes of its own.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0, opener=_regular) as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return Digest(sha256=sha256.hexdigest(), md5=md5.hexdigest())


def _regular(path: str, flags: int) -> int:
    """Open a file for reading, if it is one."""
    try:
        descriptor = os.open(path, flags | AT_ONCE)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a socket
            raise
        raise _irregular(path) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        if Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise _irregular(path)
    return descriptor


def _irregular(path: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is a named pipe, a socket or a device; expected a regular file: remove it, and bring back what was there"
    )


def files_below(root: Path, name: str, left_out: Callable[[str], object] | None = None) -> Iterator[str]:
    """`name` itself where it is a file, every file below it that DVC counts where it is a folder; with `/`, links followed.

    A link to a folder around itself is yielded as if it were a file: there is no end to what lies below it. `left_out` is told each
    file and folder that .dvcignore leaves out.
    """
    top = root / name
    if not top.is_dir():
        yield name
        return
    out = ignored(root, top)
    absolute, given = os.path.abspath(top), Path(name).as_posix()  # noqa: PTH100 - resolve() follows DVC's links
    # Of each folder, itself and those that lead to it, without links.
    around: dict[str, tuple[str, ...]] = {absolute: (os.path.realpath(absolute),)}
    for folder, subfolders, files in os.walk(absolute, followlinks=True):
        # Names are put together as text: a Path for each of 100,000 files takes seconds.
        below = given + folder[len(absolute) :].replace(os.sep, "/")
        kept = sorted(entry for entry in subfolders if not out(f"{folder}/{entry}", True))
        named = sorted(file for file in files if not out(f"{folder}/{file}", False))
        if left_out is not None:
            for entry in sorted({*subfolders, *files} - {*kept, *named}):
                left_out(f"{below}/{entry}")
        subfolders[:] = [entry for entry in kept if _is_new(folder, entry, around)]
        yield from (f"{below}/{file}" for file in (*named, *sorted({*kept} - {*subfolders})))


def _is_new(folder: str, entry: str, around: dict[str, tuple[str, ...]]) -> bool:
    """Whether a subfolder is none of the folders around it; it is added to them."""
    path = os.path.join(folder, entry)  # noqa: PTH118 - as os.walk names it
    real = os.path.realpath(path) if os.path.islink(path) else f"{around[folder][-1]}/{entry}"  # noqa: PTH114
    if real in around[folder]:
        return False
    around[path] = (*around[folder], real)
    return True


def digest_paths(root: Path, names: Iterable[str]) -> dict[str, Digest]:
    """Digest every file at or below `names`; the keys are sorted.

    Raises:
        FileNotFoundError: a name does not exist.
    """
    return {file: digest_file(root / file) for file in sorted(file for name in names for file in files_below(root, name))}


def list_digest(files: Mapping[str, str]) -> str:
    """One SHA-256 for many files: what `sha256sum FILE… | sha256sum` prints for files in the order of their names.

    Args:
        files: the SHA-256 of each, by path.
    """
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def directory_md5(files: dict[str, Digest], directory: str) -> str:
    """The MD5 that dvc.lock holds for `directory`, from the digests of the files below it.

    DVC hashes the list of `{md5, relpath}` as JSON, and appends `.dir`. It sorts the paths as texts: `a-b` stands before `a/b`.
    """
    inside = f"{directory}/"
    below = sorted((name[len(inside) :], digest.md5) for name, digest in files.items() if name.startswith(inside))
    # As `json.dumps` would, in half of the time: of 100,000 files it is asked several times.
    entries = ", ".join([f'{{"md5": {quoted(md5)}, "relpath": {quoted(name)}}}' for name, md5 in below])
    return hashlib.md5(f"[{entries}]".encode(), usedforsecurity=False).hexdigest() + ".dir"
