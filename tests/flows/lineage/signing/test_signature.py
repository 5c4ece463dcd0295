"""Signatures over a record: DSSE with ed25519, checked with OpenSSL as well; every byte counts."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.lineage.digest import digest_file
from flows.lineage.signing.dsse import EnvelopeError, pre_authentication_encoding, read_envelope, signed
from flows.lineage.signing.keys import key_id, new_key, private_key, public_key
from flows.lineage.signing.model_signature import MODEL_SIGNATURE, sign_model
from flows.lineage.signing.signature import ALWAYS, SIGNATURE, Checked, sign, signature
from tasks.core.errors import GoodfitError
from tests.conftest import Project

STATEMENTS = {"first": "lineage/first.json", "second": "lineage/second.json"}


@pytest.fixture
def record(tmp_path: Path) -> Project:
    """A record of two stages: what a signature covers is small, and nothing has to run for it."""
    project = Project(tmp_path / "project")
    (project.root / "lineage").mkdir(parents=True)
    entries = []
    for stage, path in STATEMENTS.items():
        (project.root / path).write_text(f'{{"stage": "{stage}"}}')
        md5 = digest_file(project.root / path).md5
        entries.append(f"  {stage}:\n    cmd: run {stage}\n    outs:\n    - {{path: {path}, hash: md5, md5: {md5}}}\n")
    (project.root / "dvc.lock").write_text("schema: '2.0'\nstages:\n" + "".join(entries))
    (project.root / "dvc.yaml").write_text("stages: {}\n")
    (project.root / "params.yaml").write_text("seed: 0\n")
    (project.root / ".dvc").mkdir()
    project.run("git", "init", "-q")
    return project


@pytest.fixture
def keys(tmp_path: Path, record: Project) -> tuple[Path, Path]:
    """A private key and its public one."""
    private = tmp_path / "key.pem"
    return private, new_key(private, record.root)


def test_the_encoding_is_that_of_the_specification() -> None:
    """The example of protocol.md in the DSSE repository."""
    assert pre_authentication_encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_signed_record_is_found_to_be_signed(record: Project, keys: tuple[Path, Path]) -> None:
    assert signature(record.root, [keys[1]]) is None
    files = sign(record.root, keys[0])
    assert files == [*ALWAYS, *STATEMENTS.values()]
    found = signature(record.root, [keys[1]])
    assert found is not None
    assert (found.outcome, found.files, found.wrong) == (Checked.SIGNED, files, [])
    assert found.keys == found.claimed == [key_id(public_key(keys[1]))]


def test_the_payload_is_a_valid_in_toto_statement(record: Project, keys: tuple[Path, Path]) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.v1.resource_descriptor_pb2 import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    sign(record.root, keys[0])
    document = json.loads(read_envelope(record.text(SIGNATURE.as_posix())).payload)
    subjects = [json_format.ParseDict(subject, ResourceDescriptor()) for subject in document["subject"]]
    Statement(subjects, document["predicateType"], document["predicate"]).validate()
    assert document["predicate"]["stages"] == ["first", "second"]


def test_openssl_verifies_the_signature(record: Project, keys: tuple[Path, Path], tmp_path: Path) -> None:
    sign(record.root, keys[0])
    document = json.loads(record.text(SIGNATURE.as_posix()))
    payload = base64.b64decode(document["payload"])
    (tmp_path / "signed").write_bytes(pre_authentication_encoding(document["payloadType"], payload))
    (tmp_path / "signature").write_bytes(base64.b64decode(document["signatures"][0]["sig"]))
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin"]
    verify += ["-in", str(tmp_path / "signed"), "-sigfile", str(tmp_path / "signature")]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    (tmp_path / "signed").write_bytes(b"x" + (tmp_path / "signed").read_bytes())
    assert subprocess.run(verify, capture_output=True, check=False).returncode != 0


def test_a_key_of_openssl_signs(record: Project, tmp_path: Path) -> None:
    private, public = tmp_path / "openssl.pem", tmp_path / "openssl.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)], check=True)
    subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
    sign(record.root, private)
    found = signature(record.root, [public])
    assert found is not None
    assert found.outcome is Checked.SIGNED


@pytest.mark.parametrize("name", [*ALWAYS, *STATEMENTS.values()])
def test_every_changed_byte_is_found_with_both_digests(record: Project, keys: tuple[Path, Path], name: str) -> None:
    sign(record.root, keys[0])
    path = record.root / name
    content, was = path.read_bytes(), digest_file(path).sha256
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        found = signature(record.root, [keys[1]])
        assert found is not None
        assert [(one.path, one.expected, one.found) for one in found.wrong] == [
            (name, f"sha256 {was}", f"sha256 {digest_file(path).sha256}")
        ]
        assert found.outcome is Checked.MISMATCH


def test_every_changed_byte_of_the_envelope_is_found(record: Project, keys: tuple[Path, Path]) -> None:
    """Of the payload, its type and the signature. The key's id is a hint; whitespace between the fields says nothing."""
    sign(record.root, keys[0])
    path = record.root / SIGNATURE
    document = json.loads(path.read_text())
    places: list[Callable[[dict[str, object], str], None]] = [
        lambda one, text: one.update(payload=text),
        lambda one, text: one.update(payloadType=text),
        lambda one, text: one.update(signatures=[{"keyid": document["signatures"][0]["keyid"], "sig": text}]),
    ]
    for put, text in zip(places, (document["payload"], document["payloadType"], document["signatures"][0]["sig"]), strict=True):
        for position, letter in enumerate(text):
            if letter == "=" or (text.endswith("=") and position == len(text.rstrip("=")) - 1):
                continue  # bits that base64 fills up with are no content
            changed = json.loads(json.dumps(document))
            put(changed, text[:position] + ("A" if letter != "A" else "B") + text[position + 1 :])
            path.write_text(json.dumps(changed))
            found = signature(record.root, [keys[1]])
            assert found is not None
            assert found.outcome is Checked.MISMATCH, (position, letter)


def test_another_key_does_not_do(record: Project, keys: tuple[Path, Path], tmp_path: Path) -> None:
    sign(record.root, keys[0])
    other = new_key(tmp_path / "other.pem", record.root)
    found = signature(record.root, [other])
    assert found is not None
    assert (found.outcome, found.keys) == (Checked.MISMATCH, [])
    assert key_id(public_key(keys[1]))[:12] in found.wrong[0].found
    both = signature(record.root, [keys[1], other])
    assert both is not None
    assert both.outcome is Checked.MISMATCH


def test_two_people_sign_the_same_record_and_a_new_record_has_no_old_signature(
    record: Project, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    second = new_key(tmp_path / "second.pem", record.root)
    for key in (keys[0], tmp_path / "second.pem", keys[0]):
        sign(record.root, key)
    found = signature(record.root, [keys[1], second])
    assert found is not None
    assert (found.outcome, len(found.claimed)) == (Checked.SIGNED, 2)
    (record.root / "params.yaml").write_text("seed: 1\n")
    sign(record.root, keys[0])
    found = signature(record.root, [second])
    assert found is not None
    assert (found.outcome, len(found.claimed)) == (Checked.MISMATCH, 1)


def test_a_statement_that_was_not_signed_is_found(record: Project, keys: tuple[Path, Path]) -> None:
    """Signed by the right person, but not over all of the record."""
    lock = record.text("dvc.lock")
    (record.root / "dvc.lock").write_text(lock.partition("  second:")[0])
    sign(record.root, keys[0])
    (record.root / "dvc.lock").write_text(lock)
    found = signature(record.root, [keys[1]])
    assert found is not None
    assert found.wrong[0].path == "dvc.lock"


def test_a_missing_statement_is_missing(record: Project, keys: tuple[Path, Path]) -> None:
    sign(record.root, keys[0])
    (record.root / "lineage/second.json").unlink()
    found = signature(record.root, [keys[1]])
    assert found is not None
    assert (found.outcome, found.wrong[0].path) == (Checked.MISSING, "lineage/second.json")


def test_a_statement_that_the_lock_does_not_record_is_not_signed(record: Project, keys: tuple[Path, Path]) -> None:
    (record.root / "lineage/first.json").write_text("{}")
    with pytest.raises(GoodfitError, match=r"nothing was signed: lineage/first\.json is not the one that dvc\.lock records"):
        sign(record.root, keys[0])
    assert not (record.root / SIGNATURE).exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"payload": "!", "payloadType": "x", "signatures": []}', '{"signatures": 3}', "[" * 100_000]
)
def test_what_is_no_envelope_is_refused(text: str) -> None:
    with pytest.raises(EnvelopeError, match="not a DSSE envelope"):
        read_envelope(text)


@pytest.mark.parametrize("payload", ["[" * 100_000, "3", '{"subject": [{"name": 1, "digest": {"sha256": "x"}}]}'])
def test_a_payload_that_is_no_record_is_a_mismatch(record: Project, keys: tuple[Path, Path], payload: str) -> None:
    document = signed(payload.encode(), private_key(keys[0]), [])
    (record.root / SIGNATURE).write_text(json.dumps(document))
    found = signature(record.root, [keys[1]])
    assert found is not None
    assert found.outcome is Checked.MISMATCH
    assert found.wrong[0].found.startswith("its payload is not a record")


def test_a_key_of_another_kind_is_refused(tmp_path: Path, record: Project) -> None:
    public = new_key(tmp_path / "curve.pem", record.root, elliptic=True)
    with pytest.raises(GoodfitError, match=r"another kind \(ECP?r?i?v?a?t?e?K?e?y?.*\); expected ed25519"):
        private_key(tmp_path / "curve.pem")
    with pytest.raises(GoodfitError, match="expected ed25519"):
        public_key(public)
    with pytest.raises(GoodfitError, match="is a private key; expected the public one"):
        public_key(tmp_path / "curve.pem")


def test_a_private_key_is_for_its_owner_and_never_where_git_would_add_it(record: Project, keys: tuple[Path, Path]) -> None:
    assert keys[0].stat().st_mode & 0o777 == 0o600
    with pytest.raises(GoodfitError, match="exists already"):
        new_key(keys[0], record.root)
    with pytest.raises(GoodfitError, match="would publish the private key"):
        new_key(record.root / "key.pem", record.root)
    (record.root / ".gitignore").write_text("/key.pem\n")
    new_key(record.root / "key.pem", record.root)


@pytest.mark.parametrize("name", ["key.pub", "key.PUB"])
def test_a_key_whose_name_is_that_of_the_public_one_is_refused(record: Project, tmp_path: Path, name: str) -> None:
    """The one would be written over the other."""
    with pytest.raises(GoodfitError, match=r"ends in \.pub, as the public key beside it will; expected another ending"):
        new_key(tmp_path / name, record.root)
    assert [entry.name for entry in tmp_path.iterdir()] == ["project"]


def test_a_link_that_leads_nowhere_is_not_written_through(record: Project, tmp_path: Path) -> None:
    (tmp_path / "key.pub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GoodfitError, match=r"key\.pub exists already"):
        new_key(tmp_path / "key.pem", record.root)
    assert not (tmp_path / "key.pem").exists()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("lock", [None, "schema: '2.0'\n", "schema: '2.0'\nstages: {}\n"])
def test_where_nothing_is_recorded_nothing_is_signed(record: Project, keys: tuple[Path, Path], lock: str | None) -> None:
    (record.root / "dvc.lock").unlink()
    if lock is not None:
        (record.root / "dvc.lock").write_text(lock)
    with pytest.raises(GoodfitError, match=r"dvc\.lock records nothing yet; expected a run that is recorded: `dvc repro`"):
        sign(record.root, keys[0])
    assert not (record.root / SIGNATURE).exists()


def test_a_new_key_is_not_left_behind_where_nothing_was_signed(record: Project, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flows.cli", "lineage", "sign", "--key", str(tmp_path / "key.pem"), "--new-key"]
    params = record.root / "params.yaml"
    params.rename(tmp_path / "params.yaml")
    done = record.run(*command, check=False)
    assert (done.returncode, done.stderr.startswith("error: params.yaml is missing")) == (1, True)
    assert {entry.name for entry in tmp_path.iterdir()} == {"project", "params.yaml"}
    (tmp_path / "params.yaml").rename(params)
    record.run(*command)
    assert {entry.name for entry in tmp_path.iterdir()} == {"project", "key.pem", "key.pub"}


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\xff\xfe", "can't decode byte 0xff"), (b"{}", "it is not a DSSE envelope"), (None, "it is no regular file")],
    ids=["not UTF-8", "damaged", "a pipe"],
)
def test_what_is_no_signature_stays_and_is_named(
    record: Project, keys: tuple[Path, Path], content: bytes | None, words: str
) -> None:
    path = record.root / SIGNATURE
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    with pytest.raises(
        GoodfitError, match=r"nothing was signed: .*dvc\.lock\.dsse\.json is not a signature .*move it away"
    ) as raised:
        sign(record.root, keys[0])
    assert words in str(raised.value)
    assert path.is_fifo() if content is None else path.read_bytes() == content


def test_a_key_with_a_password_needs_a_terminal(record: Project, tmp_path: Path) -> None:
    secret = tmp_path / "secret.pem"
    command = ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:word", "-out", str(secret)]
    subprocess.run(command, check=True)
    done = record.run(sys.executable, "-m", "flows.cli", "lineage", "sign", "--key", str(secret), check=False)
    assert done.returncode == 1
    assert "no terminal to ask for its password" in done.stderr


def test_the_commands_sign_and_check(record: Project, tmp_path: Path) -> None:
    key, public = tmp_path / "new.pem", tmp_path / "new.pub"
    check = ("goodfit", "lineage", "check-signature", "--public-key", str(public))
    done = record.run("goodfit", "lineage", "sign", "--key", str(key), "--new-key")
    assert done.stdout.splitlines()[-1] == "signed 5 files: commit dvc.lock.dsse.json"
    assert record.run(*check).stdout.startswith("signed: 5 files are those that key ")
    assert json.loads(record.run(*check, "--json").stdout)["outcome"] == "signed"

    (record.root / "params.yaml").write_text("seed: 1\n")
    done = record.run(*check, check=False)
    assert (done.returncode, done.stdout) == (1, "mismatch: 1 of what was signed does not hold\n")
    assert done.stderr.startswith("params.yaml: the signature has sha256 ")
    (record.root / "params.yaml").unlink()
    assert record.run(*check, check=False).returncode == 2
    (record.root / SIGNATURE).unlink()
    assert record.run(*check, check=False).returncode == 3
    public.unlink()
    assert record.run(*check, check=False).returncode == 4


def test_a_signature_may_lie_elsewhere(record: Project, keys: tuple[Path, Path], tmp_path: Path) -> None:
    record.run("goodfit", "lineage", "sign", "--key", str(keys[0]), "--output", "../other.json")
    assert (tmp_path / "other.json").exists()
    assert not (record.root / SIGNATURE).exists()
    done = record.run("goodfit", "lineage", "check-signature", "--public-key", str(keys[1]), "--signature", "../other.json")
    assert done.stdout.startswith("signed: ")


def test_the_record_of_a_revision_is_signed_and_checked(record: Project, keys: tuple[Path, Path]) -> None:
    """The statements are those in DVC's cache, the other files those of the commit, with the signature that it holds."""
    (record.root / ".gitignore").write_text("/lineage\n")
    stages = "".join(f"  {stage}:\n    cmd: run {stage}\n    outs:\n    - {path}\n" for stage, path in STATEMENTS.items())
    (record.root / "dvc.yaml").write_text(f"stages:\n{stages}")
    for path in STATEMENTS.values():
        md5 = digest_file(record.root / path).md5
        stored = record.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        stored.parent.mkdir(parents=True)
        (record.root / path).rename(stored)
    program = (sys.executable, "-m", "flows.cli", "lineage")
    key, check = ("--key", str(keys[0])), (*program, "check-signature", "--public-key", str(keys[1]))
    record.run("git", "add", "dvc.lock", "dvc.yaml", "params.yaml", ".gitignore")
    record.run("git", "commit", "-qm", "Run")
    record.run("git", "tag", "v1")
    (record.root / "params.yaml").write_text("seed: 1\n")

    assert record.run(*program, "sign", *key, "--rev", "v1", check=False).returncode == 2
    done = record.run(*program, "sign", *key, "--rev", "v1", "-o", "v1.json")
    assert done.stdout == "signed 5 files of v1: give v1.json to whoever checks it, with --signature\n"
    assert record.run(*check, "--rev", "v1", check=False).returncode == 3
    assert record.run(*check, "--rev", "v1", "--signature", "v1.json").stdout.startswith("signed: 5 files ")
    assert record.run(*check, "--signature", "v1.json", check=False).stdout.startswith("mismatch: 3 ")

    (record.root / "v1.json").rename(record.root / SIGNATURE)
    record.run("git", "add", "params.yaml", str(SIGNATURE))
    record.run("git", "commit", "-qm", "Sign and edit")
    assert record.run(*check, "--rev", "HEAD", check=False).stdout == "mismatch: 1 of what was signed does not hold\n"
    record.run("git", "checkout", "-q", "v1", "--", "params.yaml")
    record.run("git", "commit", "-qm", "Back")
    assert record.run(*check, "--rev", "HEAD").stdout.startswith("signed: 5 files ")


def test_what_is_no_file_is_not_called_missing(record: Project, keys: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "flows.cli", "lineage", "check-signature", "--public-key", str(keys[1])]
    done = record.run(*command, "--signature", "lineage", check=False)
    assert (done.returncode, done.stdout.startswith("no signature: ")) == (3, True)
    assert "lineage is no regular file; `goodfit lineage sign` writes one" in done.stdout
    assert f"{SIGNATURE} is missing" in record.run(*command, check=False).stdout


@pytest.mark.slow
def test_a_signature_is_gits_and_not_dvcs(ran: Project, tmp_path: Path) -> None:
    """Neither `dvc status` nor a stage that reads every statement trips over it."""
    new_key(tmp_path / "key.pem", ran.root)
    sign(ran.root, tmp_path / "key.pem")
    assert ran.run("git", "status", "--short").stdout == f"?? {SIGNATURE}\n"
    assert ran.is_clean()
    assert ran.repro("-f", "--single-item", "report") == {"report"}
    found = signature(ran.root, [tmp_path / "key.pub"])
    assert found is not None
    assert found.outcome is Checked.SIGNED


class TestModelSigning:
    """The format of the OpenSSF; what checks it is the package itself."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("model_signing", reason="the extra `signing` is not installed: pip install 'goodfit[signing]'")

    @pytest.fixture
    def model(self, record: Project) -> Project:
        (record.root / "models/part").mkdir(parents=True)
        (record.root / "models/model.safetensors").write_bytes(b"weights")
        (record.root / "models/part/model.json").write_text("{}")
        (record.root / "models/.gitignore").write_text("/model.safetensors\n")
        return record

    def verify(self, model: Project, public: Path) -> "subprocess.CompletedProcess[str]":
        command = ("verify", "key", "models", "--signature", "models/model.sig", "--public_key", str(public))
        return model.run(sys.executable, "-m", "model_signing", *command, check=False)

    def test_the_packages_own_command_verifies_the_model(self, model: Project, tmp_path: Path) -> None:
        key = tmp_path / "model.pem"
        model.run("goodfit", "lineage", "sign", "--model-signing", "--new-key", "--key", str(key))
        done = self.verify(model, tmp_path / "model.pub")
        assert done.returncode == 0, done.stdout + done.stderr
        (model.root / "models/model.safetensors").write_bytes(b"Weights")
        assert self.verify(model, tmp_path / "model.pub").returncode != 0

    def test_a_model_that_dvc_linked_is_signed_as_what_it_is(self, model: Project, tmp_path: Path) -> None:
        cached = model.root / ".dvc/cache/files/md5/ab/cd"
        cached.parent.mkdir(parents=True)
        (model.root / "models/model.safetensors").rename(cached)
        (model.root / "models/model.safetensors").symlink_to(cached)
        model.run("goodfit", "lineage", "sign", "--model-signing", "--new-key", "--key", str(tmp_path / "model.pem"))
        signed = json.loads((model.root / MODEL_SIGNATURE).read_text())["dsseEnvelope"]["payload"]
        assert hashlib.sha256(b"weights").hexdigest().encode() in base64.b64decode(signed)

    def test_a_model_is_signed_again(self, model: Project, tmp_path: Path) -> None:
        key = tmp_path / "model.pem"
        command = ("goodfit", "lineage", "sign", "--model-signing", "--key", str(key))
        model.run(*command, "--new-key")
        (model.root / "models/model.safetensors").write_bytes(b"Weights")
        model.run(*command)
        assert self.verify(model, tmp_path / "model.pub").returncode == 0

    def test_an_ed25519_key_is_refused_with_what_makes_another(self, model: Project, keys: tuple[Path, Path]) -> None:
        done = model.run("goodfit", "lineage", "sign", "--model-signing", "--key", str(keys[0]), check=False)
        assert done.returncode == 1
        assert "expected an ECDSA key" in done.stderr


@pytest.mark.parametrize(
    ("link", "target", "told"),
    [
        ("elsewhere", "../dvc.yaml", "belongs neither to the model"),
        ("loop", "loop", "leads nowhere"),
        ("gone", "gone.bin", "leads nowhere"),
    ],
)
def test_a_link_out_of_the_model_is_not_signed(
    record: Project, keys: tuple[Path, Path], link: str, target: str, told: str
) -> None:
    """What it leads to would be signed as a part of the model."""
    (record.root / "models").mkdir()
    (record.root / "models/model.safetensors").write_bytes(b"weights")
    (record.root / "models" / link).symlink_to(target)
    with pytest.raises(GoodfitError, match=f"models/{link} is a link .*{told}"):
        sign_model(record.root, keys[0])
    assert not (record.root / MODEL_SIGNATURE).exists()


def test_without_the_package_the_model_is_not_signed(record: Project, keys: tuple[Path, Path]) -> None:
    try:
        import model_signing  # noqa: F401
    except ImportError:
        done = record.run("goodfit", "lineage", "sign", "--model-signing", "--key", str(keys[0]), check=False)
        assert done.returncode == 1
        assert "pip install 'goodfit[signing]'" in done.stderr
    else:
        pytest.skip("the extra `signing` is installed")
