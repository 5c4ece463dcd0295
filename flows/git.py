"""The one way in which goodfit calls Git: a repository may be anybody's, so its hooks, monitors and replaced objects do not count.

Filters and the programs that check signatures are those of Git's settings, as for every command of Git; no clone brings any.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tasks.core.errors import GoodfitError

SETTINGS = (
    # Programs that the repository's own settings name, and that commands which only read would start.
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    # Git fetches an object that is missing where the settings say that the clone is partial, by a program that they name (`ssh`,
    # `git-upload-pack`). Who means to fetch allows its protocol.
    "protocol.allow=never",
    # No housekeeping that goes on in the background of a folder that will be removed.
    "gc.auto=0",
    "maintenance.auto=false",
    # A user's setting that puts the check of a signature into what `git show` prints.
    "log.showSignature=false",
    # A commit may be fetched that no branch ends with.
    "protocol.version=2",
)
VARIABLES = {
    "LC_ALL": "C",  # the message of NoRepositoryError is known in English alone
    "GIT_OPTIONAL_LOCKS": "0",  # a command that only reads must not be in the way of one that writes
    # `git replace` shows other bytes under the hash of a commit, and a hash is what a record is proven by.
    "GIT_NO_REPLACE_OBJECTS": "1",
}


class GitError(GoodfitError):
    """A command of Git failed."""

    def __init__(self, message: str, printed: bytes = b"") -> None:
        super().__init__(message)
        self.printed = printed  # on standard output before it failed


class NoGitError(GitError):
    """There is no program `git`."""


class NoRepositoryError(GitError):
    """The folder lies in no Git repository."""


def git(folder: Path, *arguments: str, given: bytes = b"", variables: Mapping[str, str] | None = None) -> bytes:
    """What a command of Git prints.

    Args:
        folder: where it is called.
        arguments: the command with its options.
        given: on its standard input.
        variables: of its environment; without it those of this process.

    Raises:
        NoGitError: there is no program `git`.
        NoRepositoryError: `folder` lies in no Git repository.
        GitError: the command fails otherwise.
    """
    command = ["git", *(part for setting in SETTINGS for part in ("-c", setting)), *arguments]
    environment = {**(os.environ if variables is None else variables), **VARIABLES}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, check=False)
    except FileNotFoundError:
        if not folder.is_dir():
            raise GitError(f"{folder} is no folder; expected one in a Git repository") from None
        raise NoGitError("there is no program `git`, and the history of the project is in Git: install it") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        if "not a git repository" in said:
            raise NoRepositoryError(
                f"{folder} is not in a Git repository, which would hold the history of its runs; run `git init` there"
            )
        name = next(part for part in arguments if not part.startswith("-") and "=" not in part)
        raise GitError(
            f"`git {name}` failed in {folder}: {said or f'exit code {done.returncode}'}; check the repository with "
            "`git fsck`, and the free disk space",
            done.stdout,
        )
    return done.stdout


def git_text(folder: Path, *arguments: str, given: str = "") -> str:
    """As `git`, of text; a name of a file that is not UTF-8 is kept as Python's own functions keep it."""
    return git(folder, *arguments, given=given.encode(errors="surrogateescape")).decode(errors="surrogateescape")


def git_lines(folder: Path, *arguments: str, given: str = "") -> list[str]:
    """As `git_text`, by line: `str.splitlines` also splits at characters that a name may hold, such as U+2028."""
    printed = git_text(folder, *arguments, given=given)
    return printed.removesuffix("\n").split("\n") if printed else []


def git_or_none(folder: Path, *arguments: str, given: bytes = b"") -> bytes | None:
    """As `git`; None where it fails, whatever the reason: for what is asked of Git where it is there."""
    try:
        return git(folder, *arguments, given=given)
    except GitError:
        return None
