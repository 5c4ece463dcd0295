"""The one way in which goodfit calls Git: a repository may be anybody's, so its hooks, monitors and replaced objects do not count.

No clone brings settings, but a repository that was handed over as a folder has its own `.git/config`. What it says about signatures and
filters does not count either: the settings of the user, of the machine and of the environment do. Git reads those of a submodule anew;
only `describe --dirty`, for the journal of a run, looks into one.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.core.errors import GoodfitError

SETTINGS = (
    # Programs that the repository's own settings name, and that commands which only read would start.
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
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
# Settings that start programs or say whose signature is good. Git cannot leave those of a repository out, but later ones replace them.
DISTRUSTED = ("gpg.", "filter.")
# What Git takes where nothing is set; where it takes nothing, an empty value is the same.
UNSET = {
    "gpg.format": "openpgp",
    "gpg.program": "gpg",
    "gpg.openpgp.program": "gpg",
    "gpg.x509.program": "gpgsm",
    "gpg.ssh.program": "ssh-keygen",
    "gpg.mintrustlevel": "undefined",
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


def git(
    folder: Path, *arguments: str, given: bytes = b"", variables: Mapping[str, str] | None = None, protocol: str = ""
) -> bytes:
    """What a command of Git prints.

    Args:
        folder: where it is called.
        arguments: the command with its options.
        given: on its standard input.
        variables: of its environment; without it those of this process.
        protocol: by which it may fetch; by none without it.

    Raises:
        NoGitError: there is no program `git`.
        NoRepositoryError: `folder` lies in no Git repository.
        GitError: the command fails otherwise.
    """
    return _git(folder, arguments, given, variables, protocol).stdout


def git_messages(folder: Path, *arguments: str) -> str:
    """What a command of Git says on standard error although it succeeds; raises what `git` raises."""
    return _git(folder, arguments).stderr.decode(errors="replace")


def distrusted_settings(folder: Path) -> list[str]:
    """The names of the repository's own settings that do not count here, as Git writes them: in lower case, but for the middle.

    Raises:
        GitError: as `git`; there is an error in the settings.
    """
    return list(dict.fromkeys(name for name, _, trusted in _settings(folder, os.environ) if not trusted))


def _git(
    folder: Path,
    arguments: Sequence[str],
    given: bytes = b"",
    variables: Mapping[str, str] | None = None,
    protocol: str = "",
) -> subprocess.CompletedProcess[bytes]:
    variables = os.environ if variables is None else variables
    return _called(folder, arguments, given, {**variables, **_replacing(folder, variables)}, protocol)


def _replacing(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that put the user's settings, or none, in the place of those of the repository that do not count.

    Not `-c`, which ends the name at the first `=`: there may be one within it.
    """
    settings = _settings(folder, variables)
    from_repository = {name: UNSET.get(name, "") for name, _, trusted in settings if not trusted}
    if not from_repository:
        return {}
    own = [(name, value) for name, value, trusted in settings if trusted]
    first = int(variables.get("GIT_CONFIG_COUNT") or 0)
    replacing = {"GIT_CONFIG_COUNT": str(first + len(from_repository) + len(own))}
    for number, (name, value) in enumerate((*from_repository.items(), *own), first):
        replacing |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return replacing


def _settings(folder: Path, variables: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """Name and value of each setting of the `DISTRUSTED` kinds, and whether it is from outside of the repository."""
    listed = _called(folder, ("config", "--list", "--show-scope", "--null"), b"", variables).stdout
    scopes, settings = listed.split(b"\0")[:-1:2], listed.split(b"\0")[1::2]
    found = []
    for scope, setting in zip(scopes, settings, strict=True):
        name, separator, value = setting.decode(errors="surrogateescape").partition("\n")
        if name.startswith(DISTRUSTED):
            found.append((name, value if separator else "true", scope not in {b"local", b"worktree"}))
    return found


def _called(
    folder: Path, arguments: Sequence[str], given: bytes, variables: Mapping[str, str], protocol: str = ""
) -> subprocess.CompletedProcess[bytes]:
    command = ["git", *(part for setting in SETTINGS for part in ("-c", setting)), *arguments]
    # Git fetches an object that is missing where the settings say that the clone is partial, by a program that they name (`ssh`,
    # `git-upload-pack`, any at all). This variable overrides them.
    environment = {**variables, **VARIABLES, "GIT_ALLOW_PROTOCOL": protocol}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, check=False)
    except FileNotFoundError:
        if not folder.is_dir():
            raise GitError(f"{folder} is no folder; expected one in a Git repository") from None
        raise NoGitError("there is no program `git`, and the history of the project is in Git: install it") from None
    except OSError as error:  # the settings that are replaced are too many or too long for a command
        raise GitError(f"`git` could not be started in {folder}: {error.strerror}; check what its .git/config holds") from None
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
    return done


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
