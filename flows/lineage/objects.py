"""The files that dvc.lock names by their MD5, read from DVC's cache or, where its bytes are the same, from the working tree."""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from flows.lineage.digest import digest_file
from flows.repository import cache_folder, object_path
from tasks.contracts.statement import Statement
from tasks.core.errors import GoodfitError

FOLDER = ".dir"  # behind the MD5 of a folder


@dataclass(frozen=True)
class Objects:
    """What DVC's cache of a repository holds; an object is looked for once."""

    root: Path

    @cached_property
    def cache(self) -> Path:
        return cache_folder(self.root)

    def has(self, md5: str) -> bool:
        return object_path(self.cache, md5).is_file()

    def bytes(self, md5: str) -> bytes:
        return object_path(self.cache, md5).read_bytes()

    def file(self, md5: str, path: str) -> Path | None:
        """The file with this MD5: in the cache, or what lies at `path` in the working tree if that has it; else None."""
        stored = object_path(self.cache, md5)
        if stored.is_file():
            return stored
        here = self.root / path
        return here if here.is_file() and digest_file(here).md5 == md5 else None

    def needed(self, md5: str, path: str) -> Path:
        """As `file`.

        Raises:
            GoodfitError: it is in neither place.
        """
        found = self.file(md5, path)
        if found is None:
            raise GoodfitError(
                f"{path} with the MD5 {md5} is not in DVC's cache: `dvc fetch --all-commits` brings what a remote has; without a "
                "remote it can only be made again"
            )
        return found

    def text(self, md5: str | None) -> str | None:
        """The text of an object in the cache; None where there is none."""
        try:
            return object_path(self.cache, md5).read_text(encoding="utf-8") if md5 else None
        except (OSError, UnicodeDecodeError):
            return None

    def members(self, md5: str) -> dict[str, str] | None:
        """The files of a folder, by path within it, with their MD5; None where the cache lacks the folder's list."""
        return _members(self.cache, md5)

    def statement(self, md5: str | None) -> Statement | None:
        """A statement; None where the cache has none with this MD5."""
        return _statement(self.cache, md5) if md5 else None


@cache
def _members(folder: Path, md5: str) -> dict[str, str] | None:
    try:
        listed = json.loads(object_path(folder, md5).read_bytes())
        return {str(entry["relpath"]): str(entry["md5"]) for entry in listed}
    except (OSError, ValueError, TypeError, KeyError):
        return None


@cache
def _statement(folder: Path, md5: str) -> Statement | None:
    try:
        return Statement.model_validate_json(object_path(folder, md5).read_bytes())
    except (OSError, ValueError):
        return None
