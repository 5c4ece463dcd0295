"""A bundle is checked by its own script, with an isolated Python that has no packages and no environment."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.digest import digest_file
from flows.lineage.signing.bundle import bundle
from flows.lineage.signing.dsse import PAYLOAD_TYPE, pre_authentication_encoding
from flows.lineage.signing.keys import new_key, private_key
from flows.lineage.signing.signature import SIGNATURE, sign
from tasks.core.errors import GoodfitError
from tests.conftest import Project
from tests.flows.lineage.small import Small

pytestmark = pytest.mark.slow


@dataclass
class Handed:
    """A bundle, and the signer's keys, which are not in it."""

    folder: Path
    private: Path
    public: Path

    def check(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """As an auditor would, who has no goodfit: no packages, nothing in the environment."""
        command = [sys.executable, "-I", "-S", "-W", "error", str(self.folder / "verify.py"), *options]
        return subprocess.run(command, cwd="/", env={"PATH": os.defpath}, capture_output=True, text=True, check=False)

    def file(self, name: str) -> Path:
        return self.folder / "files" / name

    def lock(self, old: str, new: str) -> None:
        self.edit("dvc.lock", old, new)

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.file(name).read_text()
        assert old in text
        self.file(name).write_text(text.replace(old, new))

    def statement(self, stage: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a statement, and write its new digest into dvc.lock: a forger who knows how the two belong together."""
        path = self.file(f"lineage/{stage}.json")
        was, size = digest_file(path).md5, path.stat().st_size
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))
        text = self.file("dvc.lock").read_text()
        now = digest_file(path).md5
        assert f"md5: {was}\n      size: {size}" in text
        text = text.replace(f"md5: {was}\n      size: {size}", f"md5: {now}\n      size: {path.stat().st_size}")
        self.file("dvc.lock").write_text(text)


@pytest.fixture(scope="module")
def _handed(_ran: Project, tmp_path_factory: pytest.TempPathFactory) -> Handed:
    folder = tmp_path_factory.mktemp("handed")
    root = Path(shutil.copytree(_ran.root, folder / "project"))
    public = new_key(folder / "signer.pem", root)
    sign(root, folder / "signer.pem")
    bundle(root, folder / "bundle", public_key=public)
    return Handed(folder / "bundle", folder / "signer.pem", public)


@pytest.fixture
def handed(_handed: Handed, tmp_path: Path) -> Handed:
    return Handed(Path(shutil.copytree(_handed.folder, tmp_path / "bundle")), _handed.private, _handed.public)


def test_an_untouched_bundle_is_proven_with_the_signers_key(handed: Handed) -> None:
    done = handed.check("--public-key", str(handed.public))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("proven: ")
    assert done.stdout.endswith("stages hashed again; dvc.lock is signed by signer.pub\n")


def test_the_key_in_the_bundle_proves_nothing(handed: Handed) -> None:
    done = handed.check()
    assert (done.returncode, done.stdout.partition(":")[0]) == (0, "consistent")
    assert "take the key from the signer" in done.stdout


def test_every_output_and_input_is_in_it(ran: Project, handed: Handed) -> None:
    for name, content in ran.outputs().items():
        assert handed.file(name).read_bytes() == content, name
    assert handed.file("tasks/train.py").read_bytes() == (ran.root / "tasks/train.py").read_bytes()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def flip_a_digit(path: Path) -> None:
    """One digit of the last MD5 in dvc.lock."""
    before, key, after = path.read_text().rpartition("md5: ")
    path.write_text(before + key + format(int(after[0], 16) ^ 1, "x") + after[1:])


@pytest.mark.parametrize(
    "name",
    [
        "data/raw",
        "data/processed/train.safetensors",
        "models/model.safetensors",
        "metrics/evaluation.json",
        "report/index.html",
        "lineage/train.json",
        "tasks/train.py",
        "dvc.lock",
        "dvc.yaml",
        "params.yaml",
        ".dvcignore",
    ],
)
def test_a_changed_byte_is_found_with_both_digests(handed: Handed, name: str) -> None:
    path = handed.file(name)
    path = next(file for file in sorted(path.rglob("*")) if file.is_file()) if path.is_dir() else path
    was = digest_file(path)
    if name == "dvc.lock":  # any other byte could take the file apart, which is another finding
        flip_a_digit(path)
    else:
        flip(path)
    now = digest_file(path)
    done = handed.check("--public-key", str(handed.public))
    assert done.returncode == 1
    digests = [(was.sha256, now.sha256), (was.md5, now.md5)]
    assert any(old in line and new in line for line in done.stderr.splitlines() for old, new in digests)
    assert name in done.stderr


def miscount(handed: Handed) -> None:
    path = handed.file("dvc.lock")
    path.write_text(re.sub(r"nfiles: (\d+)", lambda found: f"nfiles: {int(found[1]) + 1}", path.read_text(), count=1))


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "evil.py").write_text("print('evil')")


def drop_dataset(document: dict[str, Any]) -> None:
    definition = document["predicate"]["buildDefinition"]
    kept = [entry for entry in definition["resolvedDependencies"] if entry["name"] != "data/processed/dataset.json"]
    assert len(kept) == len(definition["resolvedDependencies"]) - 1
    definition["resolvedDependencies"] = kept


TAMPERINGS: dict[str, tuple[Callable[[Handed], object], int, str]] = {
    "a missing model": (lambda one: one.file("models/model.safetensors").unlink(), 2, "models/model.safetensors: expected md5"),
    "a missing folder": (lambda one: shutil.rmtree(one.file("data/raw")), 2, "data/raw: expected md5"),
    "a missing statement": (lambda one: one.file("lineage/train.json").unlink(), 2, "lineage/train.json"),
    "a file too many in a folder": (lambda one: one.file("data/raw/stray").write_text("x"), 1, "data/raw: expected md5"),
    "a file that nothing names": (lambda one: one.file("stray.txt").write_text("x"), 1, "stray.txt: expected no such file"),
    "a link": (lambda one: one.file("report/link.html").symlink_to("/etc/passwd"), 1, "report/link.html: expected a regular file"),
    "swapped statements": (
        lambda one: shutil.copyfile(one.file("lineage/train.json"), one.file("lineage/evaluate.json")),
        1,
        "lineage/evaluate.json: stage: expected \"train\" (statement), found \"evaluate\"",
    ),
    "a parameter in dvc.lock": (lambda one: one.lock("epochs: 3\n", "epochs: 4\n"), 1, "parameter train.epochs: expected 3"),
    "a type in dvc.lock": (lambda one: one.lock("epochs: 3\n", "epochs: 3.0\n"), 1, "found 3.0 (dvc.lock)"),
    "a command in dvc.lock": (lambda one: one.lock("flows.stage train", "flows.stage forge"), 1, "lineage/train.json: command"),
    "a size in dvc.lock": (miscount, 1, ": expected nfiles "),
    "a package in requirements.lock": (
        lambda one: one.edit("requirements.lock", "numpy==", "numpyy=="),
        1,
        "requirements.lock: expected sha256",
    ),
    "no requirements.lock": (lambda one: one.file("requirements.lock").unlink(), 2, "requirements.lock: expected sha256"),
    "no .dvcignore": (lambda one: one.file(".dvcignore").unlink(), 2, ".dvcignore: expected sha256"),
    "another .dvcignore": (
        lambda one: one.file("data/.dvcignore").write_text("*.png\n"), 1, "data/.dvcignore: expected no such file: nothing names it"
    ),
    "a folder in the place of requirements.lock": (
        lambda one: folder_instead(one.file("requirements.lock")), 1, "requirements.lock/evil.py: expected no such file"
    ),
    "a folder in the place of dvc.yaml": (
        lambda one: folder_instead(one.file("dvc.yaml")), 1, "dvc.yaml/evil.py: expected no such file"
    ),
    "a stage taken out of dvc.lock": (lambda one: one.lock("  gates:\n", "  gate:\n"), 1, "lineage/gate.json: expected a statement"),
    "a package in a statement and its digest": (
        lambda one: one.statement("train", lambda document: document["predicate"]["buildDefinition"]["internalParameters"].clear()),
        1,
        "dvc.lock: expected sha256",
    ),
    "an input dropped from a statement": (
        lambda one: one.statement("train", drop_dataset),
        1,
        "lineage/train.json: data/processed/dataset.json: expected md5",
    ),
    "an output added to a statement": (
        lambda one: one.statement("train", lambda document: document["subject"].append({"name": "x", "digest": {"md5": "0" * 32}})),
        1,
        "lineage/train.json: x: expected no such file",
    ),
    "no signature": (lambda one: one.file(SIGNATURE.as_posix()).unlink(), 2, "dvc.lock.dsse.json: expected a signature, found none"),
    "a lock that is not DVC's": (lambda one: one.file("dvc.lock").write_text("stages: {a: 1}\n"), 4, ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_tampering_is_found(handed: Handed, kind: str) -> None:
    tamper, code, words = TAMPERINGS[kind]
    tamper(handed)
    done = handed.check("--public-key", str(handed.public))
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr
    assert "proven" not in done.stdout
    assert "consistent" not in done.stdout


def stated(**subject: object) -> Callable[[Handed], object]:
    return lambda one: one.statement("train", lambda document: document.update(subject=[subject]))


def signed_subject(one: Handed) -> None:
    path = one.file(SIGNATURE.as_posix())
    document = json.loads(path.read_text())
    payload = json.loads(base64.b64decode(document["payload"]))
    payload["subject"].append({"name": 3, "digest": {"sha256": "x"}})
    document["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_text(json.dumps(document))


MALFORMED: dict[str, tuple[Callable[[Handed], object], int, str]] = {
    "a digest that is text": (stated(name="a", digest="abc"), 1, "lineage/train.json: expected an in-toto statement"),
    "a digest of numbers": (stated(name="a", digest={"md5": 1}), 1, "lineage/train.json: expected an in-toto statement"),
    "a name that is a number": (stated(name=1, digest={}), 1, "lineage/train.json: expected an in-toto statement"),
    "a name that is a list": (stated(name=[1], digest={}), 1, "lineage/train.json: expected an in-toto statement"),
    "no mapping at all": (
        lambda one: one.file("lineage/train.json").write_text("3"), 1, "lineage/train.json: expected an in-toto statement"
    ),
    "a statement in too many brackets": (
        lambda one: one.file("lineage/train.json").write_text("[" * 100_000), 1, "found RecursionError"
    ),
    "a signature in too many brackets": (
        lambda one: one.file(SIGNATURE.as_posix()).write_text("[" * 100_000), 1, "found RecursionError"
    ),
    "a signed name that is a number": (signed_subject, 1, "dvc.lock.dsse.json: expected a DSSE envelope over a record"),
    "parameters in a list": (
        lambda one: one.lock("      params.yaml:\n        download:", "      params.yaml:\n      - download:"),
        4,
        "not checked: dvc.lock: download: params: found [",
    ),
    "a stage that is text": (
        lambda one: one.lock("stages:\n", "stages:\n  other: hello\n"), 4, "dvc.lock: other: found 'hello'; expected a mapping"
    ),
    "a size that is too long": (lambda one: one.lock("size: ", "size: " + "1" * 5000), 4, "a number of 5"),
    "a lock in too many brackets": (
        lambda one: one.file("dvc.lock").write_text("- " * 20_000 + "a\n"), 4, "not checked: the bundle cannot be read (RecursionError"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_file_is_found_or_cannot_be_checked(handed: Handed, kind: str) -> None:
    """Never with a traceback, whose exit code 1 would be that of a mismatch."""
    break_it, code, words = MALFORMED[kind]
    break_it(handed)
    done = handed.check("--public-key", str(handed.public))
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in done.stdout + done.stderr


def test_a_comment_in_requirements_lock_locks_nothing_else(handed: Handed) -> None:
    handed.edit("requirements.lock", "numpy==", "# for the arrays\nnumpy==")
    done = handed.check("--public-key", str(handed.public))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("proven: ")


def test_a_record_without_a_statement_has_its_own_exit_code(handed: Handed) -> None:
    for path in (handed.file("lineage/gates.json"), handed.file(SIGNATURE.as_posix()), handed.folder / "public-key.pem"):
        path.unlink()
    text = handed.file("dvc.lock").read_text()
    before, _, rest = text.partition("    - path: lineage/gates.json\n")
    handed.file("dvc.lock").write_text(before + rest.split("\n", 3)[3])
    done = handed.check()
    assert (done.returncode, done.stdout.partition(":")[0]) == (3, "no statement"), done.stderr


def forge(handed: Handed) -> None:
    """A model, every statement that names it, and dvc.lock, all rewritten so that they agree."""
    model = handed.file("models/model.safetensors")
    was = digest_file(model)
    flip(model)
    now = digest_file(model)
    text = handed.file("dvc.lock").read_text().replace(was.md5, now.md5)
    for path in sorted(handed.file("lineage").glob("*.json")):
        before = digest_file(path).md5
        path.write_text(path.read_text().replace(was.sha256, now.sha256).replace(was.md5, now.md5))
        text = text.replace(before, digest_file(path).md5)
    # The report lists the statements: their digests in its own statement, and that one's in dvc.lock.
    for path in sorted(handed.file("lineage").glob("*.json")):
        for stage in ("report", "gates"):
            own = handed.file(f"lineage/{stage}.json")
            document = json.loads(own.read_text())
            for entry in document["predicate"]["buildDefinition"]["resolvedDependencies"]:
                if entry["name"] == path.relative_to(handed.folder / "files").as_posix():
                    entry["digest"] = digest_file(path)._asdict()
            before = digest_file(own).md5
            own.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
            text = text.replace(before, digest_file(own).md5)
    handed.file("dvc.lock").write_text(text)


def test_a_consistent_forgery_is_found_by_the_signature_alone(handed: Handed) -> None:
    forge(handed)
    done = handed.check("--public-key", str(handed.public))
    assert done.returncode == 1
    assert "(signature)" in done.stderr
    assert not any("(dvc.lock)" in line for line in done.stderr.splitlines())
    for path in (handed.file(SIGNATURE.as_posix()), handed.folder / "public-key.pem"):
        path.unlink()
    assert handed.check().stdout.startswith("consistent: ")


def test_a_forger_who_signs_is_found_by_the_signers_key(handed: Handed, tmp_path: Path) -> None:
    forge(handed)
    forger = new_key(tmp_path / "forger.pem", handed.folder)
    sign(handed.folder / "files", tmp_path / "forger.pem")
    shutil.copyfile(forger, handed.folder / "public-key.pem")
    assert handed.check().stdout.startswith("consistent: ")
    done = handed.check("--public-key", str(handed.public))
    assert done.returncode == 1
    assert "expected a signature of signer.pub, found none that is valid" in done.stderr


def test_a_signature_moved_to_another_payload_is_found(handed: Handed) -> None:
    path = handed.file(SIGNATURE.as_posix())
    document = json.loads(path.read_text())
    payload = json.loads(base64.b64decode(document["payload"]))
    payload["predicate"]["stages"] = []
    document["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_text(json.dumps(document))
    done = handed.check("--public-key", str(handed.public))
    assert (done.returncode, "found none that is valid" in done.stderr) == (1, True)


@pytest.mark.parametrize("field", ["payloadType", "predicateType"])
def test_what_the_signer_signed_for_another_purpose_proves_nothing(handed: Handed, field: str) -> None:
    """The same key, the same files, and a valid signature: over what is no record of goodfit."""
    path = handed.file(SIGNATURE.as_posix())
    payload = json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))
    kind = "application/json" if field == "payloadType" else PAYLOAD_TYPE
    if field == "predicateType":
        payload["predicateType"] = "urn:other:rejected:v1"
    content = json.dumps(payload).encode()
    sig = private_key(handed.private).sign(pre_authentication_encoding(kind, content))
    document = {"payloadType": kind, "payload": base64.b64encode(content).decode()}
    path.write_text(json.dumps(document | {"signatures": [{"sig": base64.b64encode(sig).decode()}]}))
    done = handed.check("--public-key", str(handed.public))
    assert done.returncode == 1
    assert "dvc.lock.dsse.json: expected a signature over 'urn:goodfit:record:v1'" in done.stderr
    assert "rejected" in done.stderr or "application/json" in done.stderr
    assert "proven" not in done.stdout


def test_without_openssl_nothing_is_said_of_a_signature(handed: Handed) -> None:
    command = [sys.executable, "-I", "-S", str(handed.folder / "verify.py"), "--public-key", str(handed.public)]
    done = subprocess.run(command, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "needs the program `openssl`" in done.stdout


def test_without_data_the_record_alone_is_checked(ran: Project, tmp_path: Path) -> None:
    made = bundle(ran.root, tmp_path / "record", data=False)
    small = Handed(tmp_path / "record", Path(), Path())
    assert not small.file("models").exists()
    assert small.file("metrics/evaluation.json").exists()
    assert small.file("report/index.html").exists()
    assert made.size < 2_000_000
    done = small.check("--no-data")
    assert (done.returncode, done.stdout.partition(":")[0]) == (0, "consistent")
    assert "only the record was checked" in done.stdout
    assert small.check().returncode == 2
    small.statement("train", lambda document: document["subject"][0]["digest"].update(md5="0" * 32))
    done = small.check("--no-data")
    assert (done.returncode, "lineage/train.json: models/model.json: expected md5" in done.stderr) == (1, True)


def test_a_zip_of_a_commit_is_the_same_every_time(ran: Project, tmp_path: Path) -> None:
    """And does not need the working tree."""
    for name in ("models", "data/processed"):
        shutil.rmtree(ran.root / name)
    for name in ("one.zip", "two.zip"):
        ran.run("goodfit", "lineage", "bundle", "HEAD", "--output", str(tmp_path / name))
    assert (tmp_path / "one.zip").stat().st_size > 0
    with zipfile.ZipFile(tmp_path / "one.zip") as one, zipfile.ZipFile(tmp_path / "two.zip") as two:
        assert {name.partition("/")[2]: one.read(name) for name in one.namelist()} == {
            name.partition("/")[2]: two.read(name) for name in two.namelist()
        }
        one.extractall(tmp_path)
    assert Handed(tmp_path / "one", Path(), Path()).check().stdout.startswith("consistent: ")


def test_a_folder_with_a_name_to_escape_and_the_rules_above_it_are_bundled(ran: Project, tmp_path: Path) -> None:
    """In a folder, whose digest is over the names in it; beside it lies a .dvcignore, which is in the statements alone."""
    (ran.root / "tasks/charts/100%.txt").write_text("all of it")
    (ran.root / "tasks/.dvcignore").write_text("*.orig\n")
    assert ran.repro() == {"report"}
    bundle(ran.root, tmp_path / "out")
    done = Handed(tmp_path / "out", Path(), Path())
    assert done.file("tasks/charts/100%25.txt").read_text() == "all of it"
    assert done.check().stdout.startswith("consistent: ")
    done.file("tasks/.dvcignore").write_text("*.txt\n")
    found = done.check("--no-data")
    assert (found.returncode, "tasks/.dvcignore: expected sha256" in found.stderr) == (1, True)


def test_what_does_not_agree_with_itself_is_not_bundled(ran: Project, tmp_path: Path) -> None:
    key = new_key(tmp_path / "key.pem", ran.root)
    with pytest.raises(GoodfitError, match="a key was given, and the record is not signed"):
        bundle(ran.root, tmp_path / "out", public_key=key)
    sign(ran.root, tmp_path / "key.pem")
    (ran.root / "params.yaml").write_text(ran.text("params.yaml") + "\n")
    with pytest.raises(GoodfitError, match=r"params\.yaml: the signature has sha256"):
        bundle(ran.root, tmp_path / "out", public_key=key)
    (ran.root / "tasks/train.py").write_text("")
    with pytest.raises(GoodfitError, match=r"tasks/train\.py: md5"):
        bundle(ran.root, tmp_path / "out")
    assert {entry.name for entry in tmp_path.iterdir()} == {"ran", "key.pem", "key.pub"}


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock", "dvc.lock.dsse.json"])
def test_no_file_of_this_machine_is_bundled_through_a_committed_link(small: Small, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes((small.root / name).read_bytes() if (small.root / name).exists() else b"{}")
    (small.root / name).unlink(missing_ok=True)
    (small.root / name).symlink_to(outside)
    small.commit("Link")
    with pytest.raises(GoodfitError, match=rf"{name} leads to {outside}, whose content would be handed on"):
        bundle(small.root, tmp_path / "out", data=False)
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_lost_are_named_in_the_words_of_a_bundle(ran: Project, tmp_path: Path) -> None:
    (ran.root / "tasks/train.py").write_text("pass\n")
    ran.run("git", "commit", "-qam", "Edit and do not run")
    with pytest.raises(GoodfitError, match=r"^nothing was bundled: inputs are not .*\n  tasks/train\.py: dvc\.lock has md5 "):
        bundle(ran.root, tmp_path / "out", "HEAD")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("data/raw/out", "data/raw, which stage '"),
        ("data", "exists already; expected a new name"),
        ("link", "exists already; expected a new name"),
        ("results/new.zip", None),
        ("nowhere/out", "nowhere is not a folder"),
    ],
)
def test_a_bundle_neither_replaces_nor_changes_anything(ran: Project, output: str, words: str | None) -> None:
    (ran.root / "link").symlink_to("elsewhere")
    done = ran.run("goodfit", "lineage", "bundle", "--no-data", "--output", output, check=False)
    if words is None:
        assert done.returncode == 0, done.stderr
        return
    assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    assert ran.is_clean()
    assert not (ran.root / "nowhere").exists()
    assert not (ran.root / "elsewhere").exists()


def test_a_file_whose_bytes_are_lost_is_named(ran: Project, tmp_path: Path) -> None:
    shutil.rmtree(ran.root / ".dvc/cache")
    (ran.root / "models/model.safetensors").unlink()
    with pytest.raises(GoodfitError, match=r"models/model\.safetensors: md5 \w+\n`dvc fetch`"):
        bundle(ran.root, tmp_path / "out")
    bundle(ran.root, tmp_path / "out", data=False)
    with pytest.raises(GoodfitError, match="exists already"):
        bundle(ran.root, tmp_path / "out", data=False)
