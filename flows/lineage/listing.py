"""The list of a folder, an object of DVC's cache: which files lie below the folder, with the MD5 of each."""

import json
from pathlib import Path
from typing import Any

from flows.repository import MD5
from tasks.core.errors import GoodfitError

FOLDER = ".dir"  # behind the MD5 of a folder
DETOURS = {"", ".", ".."}  # parts of a path that begins at `/`, is empty, or leads out of the folder


class ListingError(GoodfitError):
    """An object is not the list of a folder, or lists what cannot lie below one."""


def parse_listing(content: bytes) -> dict[str, str]:
    """The MD5 of each file by its path below the folder.

    A list may come from somebody else. Its paths and MD5s become names of files, so that none may lead elsewhere.

    Raises:
        ListingError: it is no list as DVC writes it, or has a path that leads out of the folder, one twice, or an MD5 that is none.
    """
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError):
        raise ListingError("found no JSON; expected the list of a folder: `dvc fetch` or `dvc commit` writes it anew") from None
    if not isinstance(entries, list):
        raise ListingError(f"found {type(entries).__name__}; expected a list of `md5` and `relpath`")
    found: dict[str, str] = {}
    for entry in entries:
        path, md5 = _entry(entry)
        if path in found:
            raise ListingError(f"found {path!r} twice; expected each file of a folder once")
        found[path] = md5
    return found


def read_listing(file: Path) -> dict[str, str] | None:
    """As `parse_listing`, of an object; None where there is no such file, or what it holds is refused."""
    try:
        return parse_listing(file.read_bytes())
    except (OSError, ListingError):
        return None


def _entry(entry: Any) -> tuple[str, str]:
    path, md5 = (entry.get("relpath"), entry.get("md5")) if isinstance(entry, dict) else (None, None)
    if not (isinstance(path, str) and isinstance(md5, str)):
        raise ListingError(f"found {entry!r}; expected `md5` and `relpath`")
    if not DETOURS.isdisjoint(path.split("/")) or "\0" in path:
        raise ListingError(f"found the path {path!r}; expected one below the folder")
    if not MD5.fullmatch(md5) or md5.endswith(FOLDER):
        raise ListingError(f"found {md5!r} as the MD5 of {path!r}; expected 32 hexadecimal digits")
    return path, md5
