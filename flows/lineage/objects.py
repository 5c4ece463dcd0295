"""The files that dvc.lock names by their MD5, read from DVC's cache or, where its bytes are the same, from the working tree."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from flows.lineage.digest import digest_file
from flows.repository import cache_folder, object_path
from tasks.contracts.statement import Statement
from tasks.core.errors import GoodfitError

FOLDER = ".dir"  # behind the MD5 of a folder


@dataclass(frozen=True)
class Objects:
    """What DVC's cache of a repository holds. A list of a folder and a statement are read once."""

    root: Path
    _members: dict[str, dict[str, str] | None] = field(default_factory=dict, init=False)
    _statements: dict[str, Statement | None] = field(default_factory=dict, init=False)

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
        if md5 not in self._members:
            self._members[md5] = self._read_members(md5)
        return self._members[md5]

    def statement(self, md5: str | None) -> Statement | None:
        """A statement; None where the cache has none with this MD5."""
        if md5 is None:
            return None
        if md5 not in self._statements:
            self._statements[md5] = self._read_statement(md5)
        return self._statements[md5]

    def _read_members(self, md5: str) -> dict[str, str] | None:
        try:
            return {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(self.bytes(md5))}
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _read_statement(self, md5: str) -> Statement | None:
        try:
            return Statement.model_validate_json(self.bytes(md5))
        except (OSError, ValueError):
            return None
