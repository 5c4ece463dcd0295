"""Files of many commits, read from Git by two processes in all and not by one for each file."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from flows.git import git, git_lines
from tasks.core.errors import GoodfitError

BATCH = 200  # objects in memory at a time; a dvc.lock has some 30 kB


def objects_at(root: Path, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The name of the Git object of each (commit, path), the path relative to `root`; without those that are no file there.

    Raises:
        GoodfitError: there is no Git, or no Git repository.
    """
    # A path that spans lines would be read as two questions; no stage of ours writes one.
    wanted = [place for place in dict.fromkeys(places) if "\n" not in place[1]]
    if not wanted:
        return {}
    # `./`: the project may be a folder of the Git repository.
    questions = "".join(f"{commit}:./{path}\n" for commit, path in wanted)
    answers = git_lines(root, "cat-file", "--batch-check=%(objecttype) %(objectname)", given=questions)
    found = zip(wanted, answers, strict=True)
    return {place: answer.removeprefix("blob ") for place, answer in found if answer.startswith("blob ")}


def contents(root: Path, objects: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Each object's name and content, one after the other; the objects are those that `objects_at` found.

    Raises:
        GoodfitError: there is no Git, or an object cannot be read.
    """
    wanted = list(dict.fromkeys(objects))
    for start in range(0, len(wanted), BATCH):
        names = "".join(f"{name}\n" for name in wanted[start : start + BATCH])
        answers = git(root, "cat-file", "--batch", given=names.encode())
        position = 0
        for name in wanted[start : start + BATCH]:
            line, _, _ = answers[position : position + 200].partition(b"\n")
            try:
                size = int(line.split(b" ")[2])  # "<name> blob <size>"
            except (IndexError, ValueError):
                raise GoodfitError(f"Git cannot read its object {name} ({line.decode(errors='replace')}): `git fsck`") from None
            position += len(line) + 1
            yield name, answers[position : position + size]
            position += size + 1
