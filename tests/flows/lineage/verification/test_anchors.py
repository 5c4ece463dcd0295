"""Which commit a dvc.lock belongs to, and who signed it: real repositories of Git, real keys of SSH."""

import os
import shutil
import zlib
from pathlib import Path

import pytest

from flows.lineage.verification.anchors import anchors
from tests.conftest import Project

needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen makes the keys")


class Repository(Project):
    """One file, dvc.lock, in a repository of Git."""

    def commit(self, text: str, *options: str) -> str:
        """Commit a dvc.lock; the abbreviated commit."""
        (self.root / "dvc.lock").write_text(text)
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "Run", *options)
        return self.head()

    def head(self) -> str:
        return self.run("git", "rev-parse", "HEAD").stdout[:7]

    def said(self, revision: str = "HEAD") -> str:
        """What holds the dvc.lock here fast, or why nothing does."""
        file = self.root / "dvc.lock"
        found, why = anchors(self.root, revision, file.read_bytes() if file.exists() else b"")
        assert bool(found) != bool(why)
        return "; ".join(anchor.text for anchor in found) or why

    def is_held(self) -> bool:
        return bool(anchors(self.root, "HEAD", (self.root / "dvc.lock").read_bytes())[0])

    def forge_tree(self, name: str) -> None:
        """Put the dvc.lock that lies here into the tree of this name, which then has other bytes than its name says."""
        blob = bytes.fromhex(self.run("git", "hash-object", "-w", "dvc.lock").stdout.strip())
        self.put(name, "tree", b"100644 dvc.lock\0" + blob)

    def put(self, name: str, kind: str, content: bytes) -> None:
        """Put these bytes in the place of an object of Git."""
        file = Path(self.run("git", "rev-parse", "--path-format=absolute", "--git-path", f"objects/{name[:2]}").stdout.strip())
        (file / name[2:]).chmod(0o644)
        (file / name[2:]).write_bytes(zlib.compress(f"{kind} {len(content)}\0".encode() + content))

    def use_key(self) -> None:
        """Sign with a new key of SSH, which is the one that whoever verifies allows."""
        self.sign_with("auditor")
        self.allow("auditor", "--global")

    def sign_with(self, name: str) -> None:
        key = self.root.parent / name
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key))
        self.run("git", "config", "gpg.format", "ssh")
        self.run("git", "config", "user.signingkey", str(key))

    def allow(self, name: str, whose: str) -> None:
        """Let a key count as that of `name@example.org`, by the settings of whoever verifies or by the repository's own."""
        allowed = self.root.parent / f"allowed {name}"
        allowed.write_text(f"{name}@example.org {(self.root.parent / f'{name}.pub').read_text()}")
        file = os.environ["GIT_CONFIG_GLOBAL"]
        self.run("git", "config", whose, "gpg.ssh.allowedSignersFile", str(allowed), GIT_CONFIG_GLOBAL=file)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A new one, with settings of whoever verifies that are not those of who runs the tests."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    root = tmp_path / "repository"
    root.mkdir()
    made = Repository(root)
    made.run("git", "init", "-q", "-b", "main")
    return made


def test_a_committed_lock_is_that_of_the_commit_that_changed_it_last(repository: Repository) -> None:
    (repository.root / "dvc.lock").write_text("one")
    assert repository.said() == "dvc.lock is in no commit yet"
    first = repository.commit("one")
    (repository.root / "other").write_text("x")
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "Other")
    date = repository.run("git", "show", "-s", "--format=%cs", first).stdout.strip()
    assert repository.said() == f"commit {first} of {date}, which is not signed"
    assert repository.is_held()


def test_an_edited_lock_is_not_committed(repository: Repository) -> None:
    first = repository.commit("one")
    (repository.root / "dvc.lock").write_text("two")
    assert repository.said() == f"dvc.lock is not committed: it is not that of {first}, which is checked out"
    assert not repository.is_held()


def test_a_lock_that_was_put_in_the_place_of_the_committed_one_is_not_committed(repository: Repository) -> None:
    """`git replace` shows the forged bytes under the hash of the honest commit."""
    first = repository.commit("one")
    (repository.root / "dvc.lock").write_text("two")
    forged = repository.run("git", "hash-object", "-w", "dvc.lock").stdout.strip()
    repository.run("git", "replace", repository.run("git", "rev-parse", "HEAD:dvc.lock").stdout.strip(), forged)
    repository.run("git", "replace", "HEAD", repository.run("git", "commit-tree", "-m", "Two", "HEAD^{tree}").stdout.strip())
    assert repository.said() == f"dvc.lock is not committed: it is not that of {first}, which is checked out"


@pytest.mark.parametrize("folder", ["", "projects/digits"])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_tree_with_other_bytes_than_its_name_says_vouches_for_nothing(tmp_path: Path, algorithm: str, folder: str) -> None:
    """The commit keeps its hash, and Git itself says that it has the forged lock."""
    Project(tmp_path).run("git", "init", "-q", "-b", "main", f"--object-format={algorithm}")
    root = tmp_path / folder
    root.mkdir(parents=True, exist_ok=True)
    repository = Repository(root)
    repository.commit("one")
    assert repository.is_held()
    (root / "dvc.lock").write_text("two")
    repository.forge_tree(repository.run("git", "rev-parse", f"HEAD:{folder}").stdout.strip())
    assert repository.run("git", "show", "HEAD:./dvc.lock").stdout == "two"
    assert repository.said().startswith("Git's objects are damaged or forged: tree ")
    assert "`git fsck`" in repository.said()


def test_an_older_tree_with_other_bytes_does_not_lend_its_commit_to_a_lock(repository: Repository) -> None:
    """The commit that changed dvc.lock last would be one that somebody signed, and that never had this lock."""
    repository.commit("one")
    audited = repository.run("git", "rev-parse", "HEAD^{tree}").stdout.strip()
    repository.commit("two")
    repository.forge_tree(audited)
    assert (
        repository.run("git", "rev-list", "-1", "HEAD", "--", "dvc.lock").stdout
        == repository.run("git", "rev-parse", "HEAD~").stdout
    )
    assert repository.said().startswith("Git's objects are damaged or forged: tree ")


def test_a_lock_that_git_does_not_have_yet_is_not_committed(repository: Repository) -> None:
    repository.commit("one")
    repository.run("git", "rm", "-q", "--cached", "dvc.lock")
    repository.run("git", "commit", "-qm", "Without")
    (repository.root / "dvc.lock").write_text("new")
    assert repository.said() == "dvc.lock is not committed"


def test_a_lock_that_was_rolled_back_is_named_by_its_own_commit(repository: Repository) -> None:
    first, second = repository.commit("one"), repository.commit("two")
    (repository.root / "dvc.lock").write_text("one")
    said = repository.said()
    assert said.startswith(f"dvc.lock is that of commit {first} of ")
    assert said.endswith(f", which is not signed, not that of {second}, which is checked out")
    assert not repository.is_held()


@pytest.mark.parametrize("name", ["slow-owl", "slow\u2028owl"], ids=ascii)
def test_the_lock_of_an_experiment_is_named_by_it(repository: Repository, name: str) -> None:
    repository.commit("one")
    repository.commit("two")
    repository.run("git", "update-ref", f"refs/exps/ab/{'c' * 38}/{name}", "HEAD")
    repository.run("git", "reset", "-q", "--hard", "HEAD~")
    (repository.root / "dvc.lock").write_text("two")
    assert repository.said().startswith(f"dvc.lock is that of the experiment {name} (commit ")


def test_a_rewritten_commit_has_another_name(repository: Repository) -> None:
    first = repository.commit("one")
    second = repository.commit("forged", "--amend")
    assert first != second
    assert repository.said().startswith(f"commit {second} of ")


def test_line_ends_that_git_converts_are_no_difference(repository: Repository) -> None:
    (repository.root / ".gitattributes").write_text("dvc.lock text eol=crlf\n")
    repository.commit("one\r\ntwo\r\n")
    assert repository.is_held()


def test_without_git_nothing_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert anchors(tmp_path, "HEAD", b"one") == ([], "there is no Git repository that could vouch for dvc.lock")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert anchors(tmp_path, "HEAD", b"one") == ([], "there is no program `git`, so that no commit can vouch for dvc.lock")


@needs_ssh
def test_a_signed_commit_names_who_signed(repository: Repository) -> None:
    repository.use_key()
    repository.commit("one", "-S")
    assert repository.said().endswith(", signed by auditor@example.org")


@needs_ssh
@pytest.mark.parametrize("options", [["commit", "--amend", "-qS", "-m", "Run"], ["tag", "-sm", "Audited", "audited"]])
def test_the_settings_of_the_repository_do_not_say_whose_signature_is_good(repository: Repository, options: list[str]) -> None:
    """A repository that is handed over as a folder: its own settings call the forger's key that of somebody else."""
    repository.commit("one")
    repository.sign_with("forger")
    repository.run("git", *options)
    (repository.root.parent / "ceo.pub").write_bytes((repository.root.parent / "forger.pub").read_bytes())
    repository.allow("ceo", "--local")
    assert repository.run("git", f"verify-{options[0]}", "audited" if options[0] == "tag" else "HEAD"), "Git itself believes it"
    said = repository.said()
    assert "ceo" not in said
    assert "key is not known to be trusted here" in said or "whose signature is not valid or cannot be checked here" in said
    assert "do not count here" in said
    assert ": gpg.ssh.allowedsignersfile; set your own with `git config --global`)" in said
    repository.allow("forger", "--global")
    assert repository.said().endswith("signed by forger@example.org")


@needs_ssh
@pytest.mark.parametrize("setting", ["gpg.ssh.program", "gpg.format"])
def test_no_program_of_the_repository_checks_a_signature(repository: Repository, setting: str) -> None:
    repository.use_key()
    repository.commit("one", "-S")
    mark = repository.root.parent / "started"
    fake = repository.root.parent / "fake"
    fake.write_text(f"#!/bin/sh\ntouch '{mark}'\necho 'Good \"git\" signature for ceo@example.org with ED25519 key x'\n")
    fake.chmod(0o755)
    repository.run("git", "config", setting, str(fake) if setting == "gpg.ssh.program" else "x509")
    assert repository.said().endswith(", signed by auditor@example.org")
    assert not mark.exists()


@needs_ssh
@pytest.mark.parametrize(
    "written",
    ["[gpg]\n\tformat = bogus\n", "[gpg]\n\tprogram\n", '[filter "x"]\n\trequired = maybe\n'],
    ids=["format", "program", "filter"],
)
def test_a_setting_at_which_git_stops_is_the_reason_that_is_given(repository: Repository, written: str) -> None:
    repository.use_key()
    repository.commit("one", "-S")
    config = repository.root / ".git/config"
    config.write_text(config.read_text() + written)
    (repository.root / ".gitattributes").write_text("dvc.lock filter=x\n")
    said = repository.said()
    assert "failed in" in said, said
    assert " config" in said
    assert "None" not in said


def test_a_signature_that_no_program_can_check_is_said(repository: Repository) -> None:
    repository.commit("one")
    plain = repository.run("git", "cat-file", "commit", "HEAD").stdout
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n aGVsbG8=\n -----END PGP SIGNATURE-----\n"
    (repository.root.parent / "signed").write_text(plain.replace("\n\n", f"\n{signature}\n", 1))
    made = repository.run("git", "hash-object", "-t", "commit", "-w", str(repository.root.parent / "signed")).stdout.strip()
    repository.run("git", "reset", "-q", "--hard", made)
    repository.run("git", "config", "--global", "gpg.program", "nowhere", GIT_CONFIG_GLOBAL=os.environ["GIT_CONFIG_GLOBAL"])
    assert "whose signature cannot be checked here" in repository.said()


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg makes the keys")
def test_a_tag_that_gpg_signed_names_who_signed(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    home = repository.root.parent / "gpg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    protection = ("--batch", "--quiet", "--passphrase", "")
    repository.run("gpg", *protection, "--quick-gen-key", "Anna Auditor <anna@example.org>", "ed25519", "sign")
    repository.run("git", "config", "user.signingkey", "anna@example.org")
    repository.commit("one")
    repository.run("git", "tag", "-sm", "Audited", "audited")
    try:
        assert repository.said().endswith(", in the tag audited signed by Anna Auditor <anna@example.org>")
        trust = "".join(
            f"{line.split(':')[0]}:2:\n" for line in repository.run("gpg", "--export-ownertrust").stdout.split("\n")[2:-1]
        )
        (home / "trust").write_text(trust)
        repository.run("gpg", "--quiet", "--import-ownertrust", str(home / "trust"))
        assert repository.said().endswith("<anna@example.org>, whose key is not known to be trusted here")
    finally:
        repository.run("gpgconf", "--kill", "gpg-agent")


@needs_ssh
def test_a_signed_tag_vouches_for_the_commits_before_it_and_not_for_a_rewritten_one(repository: Repository) -> None:
    """The consistent forgery of files, dvc.lock and commit: the tag still has the commit that was audited."""
    repository.use_key()
    audited = repository.commit("one")
    repository.run("git", "tag", "unsigned")
    repository.run("git", "tag", "-s", "-m", "Audited", "audited")
    assert repository.said().endswith(", in the tag audited signed by auditor@example.org")
    repository.run("git", "update-ref", "refs/tags/approved", "refs/tags/audited")  # whoever hands it over names it otherwise
    repository.run("git", "update-ref", "-d", "refs/tags/audited")
    assert repository.said().endswith(", in the tag audited signed by auditor@example.org")
    repository.run("git", "update-ref", "refs/tags/audited", "refs/tags/approved")
    rewritten = repository.commit("forged", "--amend")
    assert repository.said().startswith(f"commit {rewritten} of ")
    assert repository.said().endswith(", which is not signed")
    assert anchors(repository.root, "audited", b"one")[0][0].text.startswith(f"commit {audited} of ")


@needs_ssh
@pytest.mark.parametrize("way", ["a graft", "other bytes"])
def test_a_history_that_was_forged_lends_no_signed_tag_to_a_commit(repository: Repository, way: str) -> None:
    """Git itself says that the audited commit comes after the forged one."""
    repository.use_key()
    repository.commit("none")
    first = repository.run("git", "rev-parse", "HEAD").stdout.strip()
    repository.commit("one")
    repository.run("git", "tag", "-s", "-m", "Audited", "audited")
    repository.run("git", "checkout", "-q", "--orphan", "other")
    repository.commit("forged")
    forged = repository.run("git", "rev-parse", "HEAD").stdout.strip()
    if way == "a graft":
        (repository.root / ".git/info/grafts").write_text(f"{first} {forged}\n")
    else:
        honest = repository.run("git", "cat-file", "commit", first).stdout
        repository.put(first, "commit", honest.replace("\nauthor ", f"\nparent {forged}\nauthor ", 1).encode())
    assert repository.run("git", "tag", "--contains", forged).stdout == "audited\n"
    if way == "a graft":
        assert repository.said().startswith(f"commit {forged[:7]} of ")
        assert repository.said().endswith(", which is not signed")
    else:
        assert repository.said().startswith(f"Git's objects are damaged or forged: commit {first[:7]} has the hash ")


@needs_ssh
def test_a_signature_that_does_not_hold_is_said(repository: Repository) -> None:
    repository.use_key()
    repository.commit("one", "-S")
    whole = repository.run("git", "cat-file", "commit", "HEAD").stdout.replace("\nRun\n", "\nForged\n")
    (repository.root.parent / "forged").write_text(whole)
    forged = repository.run("git", "hash-object", "-t", "commit", "-w", str(repository.root.parent / "forged")).stdout.strip()
    repository.run("git", "reset", "-q", "--hard", forged)
    assert repository.said().endswith(", whose signature is NOT VALID")
