"""Find: which stages wrote or read a file, by its bytes, in everything that Git's history and DVC's experiments record."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.lineage.digest import digest_file, digest_paths, directory_md5
from flows.lineage.history import Snapshot, read_history
from flows.lineage.listing import FOLDER
from flows.lineage.lock import Locked
from flows.lineage.objects import Objects
from flows.lineage.printed import cell, escaped, table
from flows.lineage.reading.list import not_seen, with_working_tree
from flows.lineage.statement import statement_path
from tasks.contracts.statement import Statement
from tasks.core.errors import GoodfitError

SHOWN = 5  # revisions on a line of the screen


@dataclass(frozen=True)
class Wanted:
    """What is looked for: at least one of the digests is known."""

    md5: str | None
    sha256: str | None = None

    def __str__(self) -> str:
        known = {"md5": self.md5, "sha256": self.sha256}
        return ", ".join(f"{kind} {digest}" for kind, digest in known.items() if digest)


@dataclass(frozen=True)
class Use:
    """A stage that wrote or read a file of these bytes."""

    stage: str
    path: str
    wrote: bool
    confirmed: bool  # the stage's statement has the same SHA-256; the MD5 alone could be forged


@dataclass
class Search:
    """Reads each entry of dvc.lock, list of a folder and statement once, however many commits have it."""

    objects: Objects
    wanted: Wanted
    lists: set[str] = field(default_factory=set)  # folders whose list the cache lacks
    statements: set[str] = field(default_factory=set)  # statements that the cache lacks
    _known: dict[tuple[int, str], list[Use]] = field(default_factory=dict)
    _entries: list[Locked] = field(default_factory=list)  # kept, so that an id stays that of one entry

    def uses(self, stage: str, entry: Locked) -> list[Use]:
        """What an entry says of the file."""
        key = (id(entry), stage)
        if key not in self._known:
            self._entries.append(entry)
            self._known[key] = list(self._look(stage, entry))
        return self._known[key]

    def _look(self, stage: str, entry: Locked) -> Iterator[Use]:
        own = entry.outs.get(statement_path(stage).as_posix())
        statement, listed = self._statement(own), own is not None and own not in self.statements
        found: dict[tuple[str, bool], None] = {}
        for files, wrote in ((entry.outs, True), (entry.deps, False)):
            for path, md5 in files.items():
                found |= {(name, wrote): None for name in self._below(path, md5, listed)}
        if statement is not None:
            for digests, wrote in ((statement.outputs, True), (statement.inputs, False)):
                found |= {(name, wrote): None for name, digest in digests.items() if self._matches(digest.md5, digest.sha256)}
        for name, wrote in found:
            digest = (statement.outputs if wrote else statement.inputs).get(name) if statement else None
            if digest is None or not self.wanted.sha256 or digest.sha256 == self.wanted.sha256:
                yield Use(stage, name, wrote, bool(digest and digest.sha256 == self.wanted.sha256))

    def _matches(self, md5: str, sha256: str) -> bool:
        return sha256 == self.wanted.sha256 if self.wanted.sha256 else md5 == self.wanted.md5

    def _below(self, path: str, md5: str, listed: bool) -> Iterator[str]:
        """The path itself, or the files below it, that have the wanted MD5 according to dvc.lock and DVC's cache.

        A folder that is only read, such as code, has no list in the cache; with `listed`, a statement was read that names its files.
        """
        if self.wanted.md5 is None:
            return
        if md5 == self.wanted.md5:
            yield path
        elif md5.endswith(FOLDER) and not self.wanted.md5.endswith(FOLDER):
            members = self.objects.members(md5)
            if members is None:
                if not listed:
                    self.lists.add(md5)
                return
            yield from (f"{path}/{name}" for name, member in members.items() if member == self.wanted.md5)

    def _statement(self, md5: str | None) -> Statement | None:
        """A statement that names the file, as most do not: their bytes say so before they are parsed."""
        if md5 is None:
            return None
        content = self.objects.content(md5)
        if content is None:
            self.statements.add(md5)
            return None
        named = any(digest and digest.encode() in content for digest in (self.wanted.md5, self.wanted.sha256))
        return self.objects.statement(md5) if named else None


@dataclass(frozen=True)
class Found:
    """Every use of a file, with the revisions that record it, the newest first."""

    wanted: Wanted
    uses: dict[Use, list[str]]
    searched: int  # distinct dvc.lock
    not_seen: list[str]


def find(root: Path, wanted: Wanted) -> Found:
    """Look for a file in every recorded run and in the working tree's dvc.lock.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    snapshots, sentences = recorded(root)
    search, uses = Search(Objects(root), wanted), dict[Use, list[str]]()
    for snapshot in reversed(snapshots):
        for stage, entry in snapshot.stages.items():
            for use in search.uses(stage, entry):
                uses.setdefault(use, []).append(snapshot.name)
    return Found(wanted, uses, len(snapshots), [*sentences, *lacking(search)])


def recorded(root: Path) -> tuple[list[Snapshot], list[str]]:
    """Every distinct dvc.lock, the oldest first, that of the working tree last where it differs; and what cannot be seen.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    history = read_history(root)
    return with_working_tree(root, history.snapshots), not_seen(history)


def lacking(search: Search) -> list[str]:
    """What the search could not look into, in a sentence."""
    parts = [
        f"{number} {one if number == 1 else many}"
        for number, one, many in (
            (len(search.lists), "list of a folder", "lists of folders"),
            (len(search.statements), "statement", "statements"),
        )
        if number
    ]
    if not parts:
        return []
    return [
        f"Not in DVC's cache, and so not looked into: {' and '.join(parts)}; `dvc fetch --all-commits` brings what a remote has."
    ]


def digests_of(file: Path) -> Wanted:
    """The digests of a file or folder on disk.

    Raises:
        GoodfitError: it does not exist, or is neither a file nor a folder.
    """
    if file.is_dir():
        absolute = file.resolve()
        files = digest_paths(absolute.parent, [absolute.name])
        return Wanted(directory_md5(files, absolute.name))
    if file.exists() and not file.is_file():
        raise GoodfitError(f"{file} is neither a file nor a folder; expected one, or its digest with --digest")
    if not file.is_file():
        raise GoodfitError(f"there is no file {file}; expected a file or folder, or its digest with --digest")
    digest = digest_file(file)
    return Wanted(digest.md5, digest.sha256)


def parsed_digest(text: str) -> Wanted:
    """An MD5 or a SHA-256 as a person gives it.

    Raises:
        GoodfitError: it is neither.
    """
    plain = text.strip().lower().removeprefix("sha256:").removeprefix("md5:")
    digits = plain.removesuffix(FOLDER)
    if digits and set(digits) <= set("0123456789abcdef"):
        if len(digits) == 32:
            return Wanted(plain)
        if len(plain) == 64:
            return Wanted(None, plain)
    raise GoodfitError(
        f"'{escaped(text)}' is no digest; expected the 32 hex digits of an MD5 (a folder's ends with .dir) or 64 of a SHA-256"
    )


def as_json(found: Found) -> dict[str, Any]:
    return {
        "md5": found.wanted.md5,
        "sha256": found.wanted.sha256,
        "uses": [vars(use) | {"revisions": revisions} for use, revisions in found.uses.items()],
        "searched": found.searched,
        "not_seen": found.not_seen,
    }


def as_table(found: Found) -> Any:
    """The uses for a terminal (a rich.table.Table)."""
    made = table("stage", "did", "path", "sha256", "revisions")
    for use, revisions in found.uses.items():
        sha256 = "the same" if use.confirmed else "not recorded"
        made.add_row(cell(use.stage), "wrote" if use.wrote else "read", cell(use.path), sha256, cell(several(revisions)))
    return made


def several(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
