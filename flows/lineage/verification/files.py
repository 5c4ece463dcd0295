"""What is known of the bytes of many files, each of which is read once."""

import os
import stat
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from flows.lineage.digest import directory_md5, files_below
from flows.lineage.verification.hashing import Found, digests_by_forks, digests_by_threads, forks_pay
from tasks.contracts.statement import Digest

KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFDIR: "a folder",
}


class Files:
    """Digests by name, relative to the repository or absolute; a name that is not among them has no file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digests: dict[str, Digest] = {}
        self.sizes: dict[str, int] = {}
        self.problems: dict[str, str] = {}  # what is there instead of a file that can be read
        self.read_files = self.read_bytes = 0
        self.left_out: dict[str, list[str]] = {}  # what .dvcignore leaves out, by the folder in which it lies
        self._below: dict[str, list[str]] = {}
        self._folders: dict[str, str] = {}
        self._links: dict[tuple[int, int], str] = {}  # by device and inode
        self._of_one_name: list[str] = []  # files that were read before their device and inode were asked for

    def below(self, name: str) -> list[str]:
        """The file, or every file in the folder that DVC counts."""
        if name not in self._below:
            left_out = self.left_out.setdefault(name, [])
            self._below[name] = list(files_below(self.root, name, left_out.append))
        return self._below[name]

    def folder_md5(self, name: str) -> str:
        """What dvc.lock should hold for a folder whose files have been hashed."""
        if name not in self._folders:
            self._folders[name] = directory_md5(self.known([name]), Path(name).as_posix())
        return self._folders[name]

    def known(self, names: Iterable[str]) -> dict[str, Digest]:
        """The digests of every file at or below the names."""
        files = (file for name in names for file in self.below(name))
        return {file: self.digests[file] for file in files if file in self.digests}

    def hash(self, names: Iterable[str], advance: "Callable[[int, int], object] | None" = None) -> None:
        """Digest the named files that have not been yet. Links to the same file are read once.

        Args:
            names: files; those that are not there are left out.
            advance: told how many bytes are read, and how many there are so far; where the files are many, an estimate of that.

        Raises:
            GoodfitError: a process that reads files was ended from outside.
        """
        new = [name for name in dict.fromkeys(names) if name not in self.digests and name not in self.problems]
        left = self._read_many(new, advance) if forks_pay(len(new)) else new
        wanted, same = self._found(left)
        total = self.read_bytes + sum(size for _, size in wanted)
        for batch, results in digests_by_threads(str(self.root), wanted):
            self._take(batch, results)
            if advance is not None:
                advance(self.read_bytes, total)
        for name, first in same.items():
            if first in self.problems:
                self.problems[name] = self.problems[first]
            else:
                self.digests[name], self.sizes[name] = self.digests[first], self.sizes[first]

    def _read_many(self, names: list[str], advance: "Callable[[int, int], object] | None") -> list[str]:
        """Digest the files that have one name; returns the names of all else."""
        left: list[str] = []
        bytes_before, files_before = self.read_bytes, self.read_files
        for batch, results in digests_by_forks(str(self.root), names):
            found = {name: result for name, result in zip(batch, results, strict=True) if result is not None}
            left += [name for name in batch if name not in found]
            self._take(found.keys(), found.values())
            self._of_one_name += found
            if advance is not None:
                done = self.read_files - files_before + len(left)
                advance(self.read_bytes, bytes_before + (self.read_bytes - bytes_before) * len(names) // done)
        return left

    def _take(self, names: Collection[str], results: Collection[Found]) -> None:
        """Keep what was found."""
        if not names:
            return
        sha256, md5, sizes, problems = zip(*results, strict=True)
        self.digests.update(zip(names, map(Digest, sha256, md5), strict=True))
        self.sizes.update(zip(names, sizes, strict=True))
        self.read_files += len(names)
        self.read_bytes += sum(sizes)
        for name, problem in zip(names, problems, strict=True) if any(problems) else ():
            if problem:
                self.problems[name] = problem
                del self.digests[name], self.sizes[name]

    def _found(self, names: list[str]) -> tuple[list[tuple[str, int]], dict[str, str]]:
        """The files to read, with their sizes, and the names of files that are read by another name."""
        wanted: list[tuple[str, int]] = []
        same: dict[str, str] = {}
        while names and self._of_one_name:  # a link may lead to one of them
            name = self._of_one_name.pop()
            with suppress(OSError):
                about = self._about(name)
                self._links[about.st_dev, about.st_ino] = name
        for name in names:
            try:
                about = self._about(name)
            except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no file can have such a name
                continue
            except OSError as error:
                self.problems[name] = f"what cannot be read ({error.strerror})"
                continue
            if not stat.S_ISREG(about.st_mode):
                self.problems[name] = KINDS.get(stat.S_IFMT(about.st_mode), "no file")
                continue
            first = self._links.setdefault((about.st_dev, about.st_ino), name)
            if first != name:
                same[name] = first
            else:
                wanted.append((name, about.st_size))
        return wanted, same

    def _about(self, name: str) -> os.stat_result:
        return os.stat(os.path.join(self.root, name))  # noqa: PTH116, PTH118 - a Path for each of 100,000 takes seconds
