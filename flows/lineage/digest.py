"""Digests of files: SHA-256 as evidence, MD5 to join it to dvc.lock."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
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


def files_below(root: Path, name: str) -> Iterator[str]:
    """`name` itself where it is a file, every file below it that DVC counts where it is a folder; with `/`, links followed."""
    top = root / name
    if not top.is_dir():
        yield name
        return
    out = ignored(root, top)
    absolute = os.path.abspath(top)  # noqa: PTH100 - resolve() follows DVC's links
    for folder, subfolders, files in os.walk(absolute, followlinks=True):
        subfolders[:] = sorted(entry for entry in subfolders if not out(f"{folder}/{entry}", True))
        below = Path(name) / Path(folder).relative_to(absolute)
        yield from ((below / file).as_posix() for file in sorted(files) if not out(f"{folder}/{file}", False))


def digest_paths(root: Path, names: Iterable[str]) -> dict[str, Digest]:
    """Digest every file at or below `names`; the keys are sorted.

    Raises:
        FileNotFoundError: a name does not exist.
    """
    return {file: digest_file(root / file) for file in sorted(file for name in names for file in files_below(root, name))}


def directory_md5(files: dict[str, Digest], directory: str) -> str:
    """The MD5 that dvc.lock holds for `directory`, from the digests of the files below it.

    DVC hashes the list of `{md5, relpath}`, sorted by path, as JSON, and appends `.dir`.
    """
    entries = [
        {"md5": digest.md5, "relpath": Path(name).relative_to(directory).as_posix()}
        for name, digest in files.items()
        if name.startswith(f"{directory}/")
    ]
    entries.sort(key=lambda entry: tuple(entry["relpath"].split("/")))
    listing = json.dumps(entries, sort_keys=True).encode()
    return hashlib.md5(listing, usedforsecurity=False).hexdigest() + ".dir"
