"""Digests of files: SHA-256 as evidence, MD5 to join it to dvc.lock."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from flows.lineage.ignore import ignored
from tasks.contracts.statement import Digest

CHUNK = 1 << 20


def digest_file(path: Path) -> Digest:
    """Both digests in one reading."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return Digest(sha256=sha256.hexdigest(), md5=md5.hexdigest())


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
