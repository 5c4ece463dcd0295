"""The files that dvc.lock names by their MD5, read from DVC's cache or, where its bytes are the same, from the working tree.

What is read is hashed: an object may be damaged, or another one under its name.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from flows.lineage.listing import FOLDER, ListingError, parse_listing
from flows.repository import MD5, cache_folder, object_path
from tasks.contracts.statement import Statement
from tasks.core.errors import GoodfitError


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
        return bool(MD5.fullmatch(md5)) and object_path(self.cache, md5).is_file()

    def content(self, md5: str) -> bytes | None:
        """The bytes of an object; None where the cache has none of these."""
        try:
            found = object_path(self.cache, md5).read_bytes() if self.has(md5) else None
        except OSError:
            return None
        if found is None or hashlib.md5(found, usedforsecurity=False).hexdigest() != md5.removesuffix(FOLDER):
            return None
        return found

    def file(self, md5: str, path: str) -> Path | None:
        """The file with this MD5: in the cache, or what lies at `path` in the working tree if that has it; else None.

        Raises:
            GoodfitError: what the cache has under this name are other bytes, and the working tree does not have them either.
        """
        stored, here = object_path(self.cache, md5), self.root / path
        for file in (stored, here):
            if file.is_file() and _md5(file) == md5:
                return file
        if stored.is_file():
            raise GoodfitError(
                f"{stored}: found md5 {_md5(stored)}, expected {md5}: DVC's cache has a damaged copy of {path}; remove it, and "
                "`dvc fetch --all-commits` brings what a remote has"
            )
        return None

    def needed(self, md5: str, path: str) -> Path:
        """As `file`.

        Raises:
            GoodfitError: it is in neither place, or damaged.
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
        content = self.content(md5) if md5 else None
        try:
            return content.decode() if content is not None else None
        except UnicodeDecodeError:
            return None

    def members(self, md5: str) -> dict[str, str] | None:
        """The files of a folder, by path within it, with their MD5; None where the cache lacks its list, or that is damaged."""
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
        content = self.content(md5)
        try:
            return parse_listing(content) if content is not None else None
        except ListingError:
            return None

    def _read_statement(self, md5: str) -> Statement | None:
        content = self.content(md5)
        try:
            return Statement.model_validate_json(content) if content is not None else None
        except ValueError:
            return None


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
