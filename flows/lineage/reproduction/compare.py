"""The outputs of a stage beside those that dvc.lock records, byte for byte, and by how much they differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from flows.lineage.digest import digest_file, digest_paths, directory_md5
from flows.lineage.listing import read_listing
from flows.lineage.reproduction.numbers import Difference, differences
from flows.repository import cache_folder, object_path
from tasks.contracts.statement import FOLDER as STATEMENTS

PAGES = (".html", ".svg", ".png", ".pdf")  # show numbers that are compared where they are stored
Kind = Literal["statement", "page", "data"]


@dataclass(frozen=True)
class FileResult:
    """An output whose bytes are not those that are recorded."""

    stage: str
    path: str
    kind: Kind
    recorded: str  # MD5, or "none" for a file that was not recorded
    found: str  # MD5, or "none" for one that was not made
    differences: list[Difference] | None  # None where only the digests could be compared
    note: str = ""  # why


class Recorded:
    """The recorded bytes, as far as DVC's cache, the working tree or the commit has them; each is checked by its MD5."""

    def __init__(self, root: Path, folder: Path, in_git: Callable[[str], bytes | None]) -> None:
        self.root, self._folder, self._in_git = root, folder, in_git
        self._cache = cache_folder(root)

    def file(self, path: str, md5: str) -> Path | None:
        """A file that has these bytes; None where there is none any more."""
        for candidate in (object_path(self._cache, md5), self.root / path):
            if candidate.is_file() and digest_file(candidate).md5 == md5:
                return candidate
        content = self._in_git(path)
        if content is None:
            return None
        self._folder.mkdir(exist_ok=True)
        copy = self._folder / md5
        copy.write_bytes(content)
        return copy if digest_file(copy).md5 == md5 else None

    def folder(self, path: str, md5: str) -> dict[str, str] | None:
        """The files of a recorded folder with their MD5; None where its listing is lost."""
        found = read_listing(object_path(self._cache, md5))
        if found is not None:
            names = {f"{path}/{name}": digest for name, digest in found.items()}
            return names if digest_file(object_path(self._cache, md5)).md5 == md5.removesuffix(".dir") else None
        if not (self.root / path).is_dir():
            return None
        files = digest_paths(self.root, [path])
        return {name: digest.md5 for name, digest in files.items()} if directory_md5(files, path) == md5 else None


def compare_stage(root: Path, stage: str, outs: Mapping[str, str], recorded: Recorded) -> tuple[list[FileResult], int]:
    """What differs between the outputs below `root` and those of dvc.lock (path to MD5), and how many files were compared."""
    results: list[FileResult] = []
    count = 0
    for out, md5 in outs.items():
        if not md5.endswith(".dir"):
            made = digest_paths(root, [out])[out].md5 if (root / out).is_file() else "none"
            before, after = {out: md5}, {out: made}
        else:
            files = digest_paths(root, [out]) if (root / out).is_dir() else {}
            after = {name: digest.md5 for name, digest in files.items()}
            listed = recorded.folder(out, md5)
            if listed is None:
                found = directory_md5(files, PurePosixPath(out).as_posix())
                count += len(files)
                if found != md5:
                    results.append(FileResult(stage, out, "data", md5, found, None, "the recorded list of its files is lost"))
                continue
            before = listed
        count += len(before)
        for name in sorted(before.keys() | after.keys()):
            digests = before.get(name, "none"), after.get(name, "none")
            if digests[0] != digests[1]:
                results.append(_differing(root, stage, name, digests, recorded))
    return results, count


def _differing(root: Path, stage: str, path: str, digests: tuple[str, str], recorded: Recorded) -> FileResult:
    md5, found = digests
    kind: Kind = "statement" if PurePosixPath(path).parent == PurePosixPath(STATEMENTS.as_posix()) else "data"
    kind = "page" if PurePosixPath(path).suffix in PAGES else kind
    if "none" in digests:
        return FileResult(stage, path, "data", md5, found, None)
    before = recorded.file(path, md5)
    if before is None:
        note = "the recorded bytes are not in DVC's cache, so that only the digests can be compared"
        return FileResult(stage, path, kind, md5, found, None, note)
    compared = differences(before, root / path, path)
    note = "" if compared is not None else "its format has no numbers that can be compared"
    if compared == []:
        note = "every number is the same; the file is written in another way"
    return FileResult(stage, path, kind, md5, found, compared, note)
