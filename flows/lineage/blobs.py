"""Files of many commits, read from Git by two processes in all and not by one for each file."""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.core.errors import GoodfitError

BATCH = 200  # objects in memory at a time; a dvc.lock has some 30 kB


def git(root: Path, *arguments: str, given: str | None = None) -> str:
    """What a command of Git prints.

    Raises:
        GoodfitError: there is no Git, or the command fails, as it does outside of a Git repository.
    """
    return _run(root, arguments, given.encode() if given is not None else None).decode(errors="surrogateescape")


def objects_at(root: Path, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The name of the Git object of each (commit, path), the path relative to `root`; without those that are no file there.

    Raises:
        GoodfitError: as `git`.
    """
    # A path that spans lines would be read as two questions; no stage of ours writes one.
    wanted = [place for place in dict.fromkeys(places) if "\n" not in place[1]]
    if not wanted:
        return {}
    # `./`: the project may be a folder of the Git repository.
    questions = "".join(f"{commit}:./{path}\n" for commit, path in wanted)
    answers = git(root, "cat-file", "--batch-check=%(objecttype) %(objectname)", given=questions).splitlines()
    found = zip(wanted, answers, strict=True)
    return {place: answer.removeprefix("blob ") for place, answer in found if answer.startswith("blob ")}


def contents(root: Path, objects: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Each object's name and content, one after the other; the objects are those that `objects_at` found.

    Raises:
        GoodfitError: there is no Git, or an object cannot be read.
    """
    wanted = list(dict.fromkeys(objects))
    for start in range(0, len(wanted), BATCH):
        answers = _run(root, ["cat-file", "--batch"], "".join(f"{name}\n" for name in wanted[start : start + BATCH]).encode())
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


def _run(root: Path, arguments: Iterable[str], given: bytes | None) -> bytes:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, input=given, check=False)
    except FileNotFoundError:
        raise GoodfitError("there is no program `git`, and the history of the project is in Git: install it") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        if "not a git repository" in said:
            raise GoodfitError(
                f"{root} lies in no Git repository, which has the history; expected a Git repository: `git init`"
            )
        raise GoodfitError(f"`git {command[1]}` failed in {root}: {said}; expected a Git repository that it can read")
    return done.stdout
