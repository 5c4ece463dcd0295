"""The one way to call Git: what it says where it fails, and what a hostile repository cannot make it do."""

import os
from pathlib import Path

import pytest

from flows.git import GitError, NoGitError, NoRepositoryError, git, git_or_none, git_text
from tests.conftest import Project


@pytest.fixture
def repository(tmp_path: Path) -> Project:
    made = Project(tmp_path / "repository")
    made.root.mkdir()
    made.run("git", "init", "-q", "-b", "main")
    (made.root / "file").write_bytes(b"one\xff\n")
    made.run("git", "add", "-A")
    made.run("git", "commit", "-qm", "One")
    return made


def program(file: Path, mark: Path) -> str:
    """A program that leaves a mark where it is started."""
    file.write_text(f"#!/bin/sh\ntouch {mark}\n")
    file.chmod(0o755)
    return str(file)


def test_bytes_come_out_and_go_in_as_they_are(repository: Project) -> None:
    assert git(repository.root, "show", "HEAD:file") == b"one\xff\n"
    name = git(repository.root, "hash-object", "-w", "--stdin", given=b"\0\xfe").decode().strip()
    assert git(repository.root, "cat-file", "blob", name) == b"\0\xfe"
    assert git_text(repository.root, "show", "HEAD:file").encode(errors="surrogateescape") == b"one\xff\n"


def test_a_folder_without_a_repository_is_told_in_any_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    with pytest.raises(
        NoRepositoryError, match=r"is not in a Git repository, which would hold the history .*; run `git init` there"
    ):
        git(tmp_path, "rev-parse", "--git-dir")
    assert git_or_none(tmp_path, "rev-parse", "--git-dir") is None


def test_a_machine_without_git_is_told(repository: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoGitError, match=r"there is no program `git`, .*: install it"):
        git(repository.root, "status")
    assert git_or_none(repository.root, "status") is None


def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="nowhere is no folder") as caught:
        git(tmp_path / "nowhere", "status")
    assert not isinstance(caught.value, NoGitError)


def test_a_command_that_fails_is_named_with_what_it_said_and_printed(repository: Project) -> None:
    with pytest.raises(
        GitError, match=r"(?s)`git show` failed in .*: fatal: .*nowhere.*; check the repository with `git fsck`"
    ):
        git(repository.root, "-c", "core.quotePath=false", "show", "nowhere")
    (repository.root / "file").write_text("two\n")
    with pytest.raises(GitError, match=r"`git diff` failed in .*: exit code 1; check") as caught:
        git(repository.root, "diff", "--exit-code")
    assert caught.value.printed.endswith(b"-one\xff\n+two\n")


@pytest.mark.skipif(os.name == "nt", reason="the programs are scripts of a shell")
def test_no_hook_and_no_monitor_of_the_repository_is_started(repository: Project, tmp_path: Path) -> None:
    mark = tmp_path / "started"
    hook = program(repository.root / ".git/hooks/post-index-change", mark)
    repository.run("git", "config", "core.fsmonitor", hook)
    repository.run("git", "status")
    assert mark.exists(), "Git itself starts it"
    mark.unlink()
    os.utime(repository.root / "file", (1, 1))  # so that the index has to be looked at and written anew
    git(repository.root, "status")
    git(repository.root, "describe", "--always", "--dirty")
    git(repository.root, "read-tree", "HEAD")
    assert not mark.exists()


def test_a_replaced_object_does_not_count(repository: Project) -> None:
    before = git(repository.root, "rev-parse", "HEAD:file").decode().strip()
    forged = git(repository.root, "hash-object", "-w", "--stdin", given=b"forged").decode().strip()
    repository.run("git", "replace", before, forged)
    assert repository.run("git", "show", "HEAD:file").stdout == "forged"
    assert git(repository.root, "show", "HEAD:file") == b"one\xff\n"


def test_a_command_that_reads_leaves_the_index_alone(repository: Project) -> None:
    index = repository.root / ".git/index"
    os.utime(repository.root / "file", (1, 1))
    before = index.read_bytes()
    git(repository.root, "status")
    assert index.read_bytes() == before
    repository.run("git", "status")
    assert index.read_bytes() != before, "Git itself notes the new time"


@pytest.mark.skipif(os.name == "nt", reason="the programs are scripts of a shell")
@pytest.mark.parametrize("setting", ["core.sshCommand", "remote.far.uploadpack", "remote.far.url"])
def test_no_program_is_started_to_fetch_what_is_missing(repository: Project, tmp_path: Path, setting: str) -> None:
    """The settings of a partial clone name where a missing object comes from, and by which program."""
    mark = tmp_path / "started"
    address = "ssh://nowhere/repository" if setting == "core.sshCommand" else str(tmp_path / "elsewhere")
    script = program(tmp_path / "fetching", mark)
    settings = {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "far",
        "protocol.ext.allow": "always",
        "protocol.ssh.allow": "always",
        "protocol.file.allow": "always",
        "remote.far.promisor": "true",
        "remote.far.url": address,
        setting: f"ext::{script}" if setting == "remote.far.url" else script,
    }
    for name, value in settings.items():
        repository.run("git", "config", name, value)
    blob = repository.run("git", "rev-parse", "HEAD:file").stdout.strip()
    (repository.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    repository.run("git", "cat-file", "blob", blob, check=False)
    assert mark.exists(), "Git itself starts it"
    mark.unlink()
    assert git_or_none(repository.root, "cat-file", "blob", blob) is None
    assert not mark.exists()


def test_settings_that_are_too_long_to_be_replaced_are_told(repository: Project) -> None:
    config = repository.root / ".git/config"
    config.write_text(f'{config.read_text()}[filter "{"n" * 200_000}"]\n\tclean = cat\n')
    with pytest.raises(GitError, match=r"`git` could not be started in .*: .*; check what its \.git/config holds"):
        git(repository.root, "status")


@pytest.mark.skipif(os.name == "nt", reason="the programs are scripts of a shell")
@pytest.mark.parametrize("name", ["own", "a=b"])
@pytest.mark.parametrize("kind", ["clean", "smudge", "process"])
def test_no_filter_of_the_repository_is_started(
    repository: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    """Unlike those of the user's own settings, such as the filter of Git LFS."""
    mark = tmp_path / "started"
    script = program(tmp_path / "filter", mark)
    (repository.root / ".git/info/attributes").write_text(f"file filter={name}\n")
    repository.run("git", "config", f"filter.{name}.{kind}", f"{script}; cat")
    repository.run("git", "config", f"filter.{name}.required", "true")
    commands = [("hash-object", "--stdin", "--path=file"), ("checkout-index", "--all", "--force", f"--prefix={tmp_path}/out/")]
    for command in commands:
        repository.run("git", *command, check=False)
    assert mark.exists(), "Git itself starts it"
    mark.unlink()
    for command in commands:
        git(repository.root, *command)
    assert not mark.exists()
    user = tmp_path / "user"
    repository.run("git", "config", f"--file={user}", f"filter.{name}.{kind}", f"{script}; cat")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(user))
    for command in commands:
        git_or_none(repository.root, *command)
    assert mark.exists()
