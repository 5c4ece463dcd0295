"""A recorded run made again: on small pipelines of real DVC and Git repositories, and on goodfit's own."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.digest import digest_file
from flows.lineage.reproduction.attested import test_result as as_statement
from flows.lineage.reproduction.compare import FileResult
from flows.lineage.reproduction.reproduce import Outcome, Reproduction, reproduce
from flows.lineage.reproduction.reproduced import as_text
from flows.lineage.signing.dsse import signed
from flows.lineage.signing.keys import private_key
from flows.lineage.signing.signed_result import TEST_RESULT, signed_result
from tasks.core.errors import GoodfitError, UnknownNameError
from tests.conftest import Project

pytestmark = pytest.mark.slow

MODEL = """
import json, os, sys
points = [float(line) for line in open("data/points.txt")]
scale = int(open("params.yaml").read().partition("scale: ")[2])
print("the model is made")
noise = float(os.environ.get("NOISE", "0"))
os.makedirs("out", exist_ok=True)
json.dump({"slope": scale * sum(points) + noise}, open("out/model.json", "w"))
"""
SCORE = """
import json, os, pathlib, time
if os.environ.get("WAIT"):
    pathlib.Path(os.environ["WAIT"]).touch()
    time.sleep(60)
if os.environ.get("FAIL"):
    raise SystemExit(3)
os.makedirs("metrics", exist_ok=True)
slope = json.load(open("out/model.json"))["slope"]
json.dump({"score": slope / 2}, open("metrics/score.json", "w"))
open("out/page.html", "w").write(f"<p>{slope / 2}")
"""
PIPELINE = """
stages:
  model:
    cmd: python model.py
    deps: [data/points.txt, model.py]
    params: [scale]
    outs: [out/model.json]
  score:
    cmd: python score.py
    deps: [out/model.json, score.py]
    outs: [out/page.html]
    metrics:
      - metrics/score.json: {cache: false}
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the clones are made: the test fails if one of them is left behind."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def _small(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("small"))
    for name, text in {"model.py": MODEL, "score.py": SCORE, "dvc.yaml": PIPELINE, "params.yaml": "scale: 2\n"}.items():
        (project.root / name).write_text(text)
    (project.root / "data").mkdir()
    (project.root / "data/points.txt").write_text("1\n2\n")
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    run_and_commit(project)
    return project


@pytest.fixture
def small(_small: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: Path) -> Project:
    """Two stages that need a second, run and committed; a file of data is in Git."""
    project = Project(Path(shutil.copytree(_small.root, tmp_path / "home" / "small")))
    monkeypatch.chdir(project.root)
    return project


def run_and_commit(project: Project) -> str:
    project.run("dvc", "repro", "-q")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "Run")
    return project.run("git", "rev-parse", "HEAD").stdout.strip()


def contents(project: Project) -> dict[str, bytes]:
    """Every file of a project, with DVC's cache and without its temporary files and Git's own."""
    files = (file for file in sorted(project.root.rglob("*")) if file.is_file())
    named = {file.relative_to(project.root).as_posix(): file for file in files}
    return {name: file.read_bytes() for name, file in named.items() if not name.startswith((".git/", ".dvc/tmp/"))}


def test_a_committed_run_is_made_again_bit_for_bit_and_nothing_is_touched(small: Project) -> None:
    before = contents(small)
    done = small.run("goodfit", "lineage", "reproduce", TMPDIR=str(small.root.parent.parent / "temporary"))
    commit = small.run("git", "rev-parse", "--short=12", "HEAD").stdout.strip()
    assert done.stdout == f"bit-identical: 3 files of 2 stages made again from {commit} have the recorded bytes\n"
    assert "the model is made" in done.stderr
    assert "git add" not in done.stderr
    assert contents(small) == before


def test_nothing_of_the_originals_cache_is_reused(small: Project) -> None:
    """The original's run-cache and cache could both give a result without running anything."""
    lines: list[str] = []
    assert reproduce(small.root, say=lines.append).outcome is Outcome.IDENTICAL
    assert [line for line in lines if line.startswith("> ")] == ["> python model.py", "> python score.py"]


def test_the_first_stage_and_file_that_diverge_are_named_with_the_largest_difference(
    small: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISE", "0.5")
    found = reproduce(small.root, say=print)
    assert found.outcome is Outcome.DIVERGED
    assert found.first is not None
    assert (found.first.stage, found.first.path) == ("model", "out/model.json")
    assert [(one.name, one.largest) for one in found.first.differences or []] == [("slope", 0.5)]
    assert [one.path for one in found.differing] == ["out/model.json", "metrics/score.json", "out/page.html"]
    done = small.run("goodfit", "lineage", "reproduce", check=False, NOISE="0.5")
    assert done.returncode == 1
    assert done.stdout.startswith("diverged: model: out/model.json is the first file that differs (3 files of 2 stages")
    assert "    slope: largest difference 0.5\n" in done.stdout


def test_a_tolerance_accepts_numbers_and_does_not_judge_pages(small: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISE", "1e-7")
    assert reproduce(small.root, tolerance=1e-6, say=print).outcome is Outcome.WITHIN_TOLERANCE
    assert reproduce(small.root, tolerance=1e-9, say=print).outcome is Outcome.DIVERGED
    done = small.run("goodfit", "lineage", "reproduce", "--tolerance", "1e-6", "--json", check=False, NOISE="1e-7")
    document = json.loads(done.stdout)
    assert (done.returncode, document["outcome"], document["first_divergence"]) == (3, "within tolerance", None)
    assert [(one["path"], one["accepted"]) for one in document["differing"]][2] == ("out/page.html", True)


@pytest.mark.parametrize("tolerance", ["-1", "nan", "inf", "much"])
def test_a_tolerance_is_a_number_of_at_least_zero(small: Project, tolerance: str) -> None:
    done = small.run("goodfit", "lineage", "reproduce", f"--tolerance={tolerance}", check=False)
    assert done.returncode == 2
    assert f"found '{tolerance}'; expected a number of at least 0" in done.stderr


def test_only_what_a_file_depends_on_is_run(small: Project) -> None:
    lines: list[str] = []
    found = reproduce(small.root, "HEAD", path="out/model.json", say=lines.append)
    assert (found.stages, found.files, found.outcome) == (["model"], 1, Outcome.IDENTICAL)
    assert "> python score.py" not in lines
    assert reproduce(small.root, stage="model", say=print).stages == ["model"]
    with pytest.raises(UnknownNameError, match="unknown stage 'modl'"):
        reproduce(small.root, stage="modl", say=print)


def test_an_earlier_commit_a_tag_and_an_experiment_are_reproduced_as_they_were(small: Project) -> None:
    small.run("git", "tag", "first")
    (small.root / "params.yaml").write_text("scale: 3\n")
    second = run_and_commit(small)
    small.run("dvc", "exp", "run", "-q", "--name", "five", "-S", "scale=5")
    small.run("git", "checkout", "-q", ".")
    small.run("dvc", "checkout", "-q")
    found = reproduce(small.root, "first", say=print)
    assert (found.outcome, found.commit == second) == (Outcome.IDENTICAL, False)
    found = reproduce(small.root, "five", say=print)
    assert found.outcome is Outcome.IDENTICAL
    assert small.run("git", "show", f"{found.commit}:metrics/score.json").stdout == '{"score": 7.5}'
    with pytest.raises(GoodfitError, match=r"there is no revision 'sixth'; expected .* an experiment \(five\)"):
        reproduce(small.root, "sixth", say=print)


def test_a_run_that_is_not_committed_is_refused(small: Project) -> None:
    (small.root / "params.yaml").write_text("scale: 3\n")
    small.run("dvc", "repro", "-q")
    done = small.run("goodfit", "lineage", "reproduce", check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert "dvc.lock here is not that of HEAD" in done.stderr
    assert reproduce(small.root, "HEAD", say=print).outcome is Outcome.IDENTICAL


@pytest.mark.parametrize(("name", "text", "words"), [
    ("params.yaml", "scale: 7\n", "model: scale: dvc.lock has 2, params.yaml 7"),
    ("model.py", MODEL + "#", "model.py: dvc.lock has md5"),
    ("data/points.txt", "1\n3\n", "data/points.txt: dvc.lock has md5"),
])  # fmt: skip
def test_a_commit_whose_lock_is_not_its_own_is_refused_before_anything_runs(
    small: Project, name: str, text: str, words: str
) -> None:
    (small.root / name).write_text(text)
    small.run("git", "commit", "-qam", "Edit, and do not run")
    lines: list[str] = []
    with pytest.raises(GoodfitError) as refused:
        reproduce(small.root, say=lines.append)
    assert "nothing was run" in str(refused.value)
    assert words in str(refused.value)
    assert lines == []


def test_data_in_dvcs_cache_is_brought_and_checked(small: Project) -> None:
    small.run("git", "rm", "-q", "--cached", "data/points.txt")
    small.run("dvc", "add", "-q", "data/points.txt")
    run_and_commit(small)
    (small.root / "data/points.txt").unlink()
    found = reproduce(small.root, say=print)
    assert found.outcome is Outcome.IDENTICAL
    assert [(one.path, one.origin, one.files) for one in found.brought] == [("data/points.txt", "DVC's cache", 1)]

    (cached,) = [
        file for file in (small.root / ".dvc/cache/files").rglob("*") if file.is_file() and file.read_bytes() == b"1\n2\n"
    ]
    cached.chmod(0o644)
    cached.write_text("1\n9\n")
    with pytest.raises(GoodfitError, match=r"data/points.txt: dvc.lock has md5 \w+, found md5"):
        reproduce(small.root, say=print)


def test_data_that_nothing_tracks_come_from_where_they_lie(small: Project) -> None:
    """A folder beside the project, and one inside of it that Git ignores."""
    for folder in (small.root.parent / "images", small.root / "data/more"):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep/a.txt").write_text("a")
    (small.root / ".gitignore").write_text("/data/more\n")
    (small.root / "dvc.yaml").write_text(
        PIPELINE.replace("deps: [data/points.txt,", "deps: [../images, data/more, data/points.txt,")
    )
    run_and_commit(small)
    found = reproduce(small.root, say=print)
    assert found.outcome is Outcome.IDENTICAL
    assert {(one.path, one.origin) for one in found.brought} == {
        (path, "the working tree") for path in ("../images", "data/more")
    }
    (small.root / "data/more/deep/a.txt").write_text("b")
    with pytest.raises(GoodfitError, match=r"data/more: dvc.lock has md5 \w+\.dir, found md5 \w+\.dir"):
        reproduce(small.root, say=print)


def test_a_folder_of_data_that_git_has_in_part_is_completed(small: Project) -> None:
    (small.root / "data/.gitignore").write_text("/large.txt\n")
    (small.root / "data/large.txt").write_text("large")
    (small.root / "dvc.yaml").write_text(PIPELINE.replace("[data/points.txt, model.py]", "[data, model.py]"))
    run_and_commit(small)
    found = reproduce(small.root, say=print)
    assert (found.outcome, [(one.path, one.files) for one in found.brought]) == (Outcome.IDENTICAL, [("data", 1)])


def test_a_stage_that_fails_is_told_with_its_code_and_words(small: Project) -> None:
    done = small.run("goodfit", "lineage", "reproduce", check=False, FAIL="1")
    assert done.returncode == 4
    assert "error: score failed" in done.stderr


def test_a_stage_that_fails_after_another_diverged_is_a_divergence(small: Project) -> None:
    done = small.run("goodfit", "lineage", "reproduce", check=False, FAIL="1", NOISE="1")
    assert done.returncode == 1
    assert "out/model.json is the first file that differs" in done.stdout
    assert "score failed after that" in done.stdout


def test_the_folder_is_kept_on_request(small: Project, temporary: Path) -> None:
    done = small.run("goodfit", "lineage", "reproduce", "--keep", TMPDIR=str(temporary))
    kept = Path(done.stdout.splitlines()[-1].removeprefix("kept: "))
    assert (kept / "clone" / small.root.relative_to("/") / "out/model.json").exists()
    shutil.rmtree(kept)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_reproduction_leaves_nothing_behind(small: Project, temporary: Path, number: int) -> None:
    """Neither the folder (the fixture looks), nor a process."""
    started = small.root.parent / "started"
    environment = os.environ | {"TMPDIR": str(temporary), "WAIT": str(started)}
    process = subprocess.Popen(
        ["goodfit", "lineage", "reproduce"], cwd=small.root, env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert started.exists()
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed.endswith("interrupted: the temporary folder is removed\n")
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(temporary) not in listed


def test_a_project_in_a_folder_of_its_git_repository_is_reproduced(small: Project, tmp_path: Path) -> None:
    whole = Project(tmp_path / "whole")
    (whole.root / "part").mkdir(parents=True)
    for name in ("model.py", "score.py", "dvc.yaml", "params.yaml", "data"):
        (small.root / name).rename(whole.root / "part" / name)
    part = Project(whole.root / "part")
    whole.run("git", "init", "-q")
    part.run("dvc", "init", "-q", "--subdir")
    run_and_commit(part)
    assert reproduce(part.root, say=print).outcome is Outcome.IDENTICAL


def key_pair(small: Project, folder: Path, name: str) -> tuple[Path, Path]:
    key, public = folder / f"{name}.pem", folder / f"{name}.pub"
    small.run("openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key))
    small.run("openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public))
    return key, public


def test_a_signed_result_is_checked_and_is_no_signature_over_the_record(small: Project, tmp_path: Path) -> None:
    key, public = key_pair(small, tmp_path, "auditor")
    result = tmp_path / "result.json"
    small.run("goodfit", "lineage", "reproduce", "--key", str(key), "--output", str(result))
    check = ("goodfit", "lineage", "check-signature", "--public-key", str(public))
    said = small.run(*check, "--result", str(result)).stdout
    assert re.fullmatch(r"signed: key [0-9a-f]{12} says that 2 of 2 stages of this dvc.lock were made again: PASSED\n", said)
    assert json.loads(small.run(*check, "--result", str(result), "--json").stdout)["result"] == "PASSED"
    shutil.copy2(result, small.root / "dvc.lock.dsse.json")
    for options in ((), ("--signature", str(result))):
        refused = small.run(*check, *options, check=False)
        assert (refused.returncode, "expected 'urn:goodfit:record:v1'" in refused.stderr) == (1, True)
    (small.root / "dvc.lock.dsse.json").unlink()
    other, its_public = key_pair(small, tmp_path, "other")
    unsigned = small.run(*check, "--public-key", str(its_public), "--result", str(result), check=False)
    assert (unsigned.returncode, "no valid signature of that key" in unsigned.stderr) == (1, True)
    small.run("goodfit", "lineage", "reproduce", "--key", str(other), "--output", str(result))
    assert " and key " in small.run(*check, "--public-key", str(its_public), "--result", str(result)).stdout
    (small.root / "dvc.lock").write_text((small.root / "dvc.lock").read_text() + "\n")
    edited = small.run(*check, "--result", str(result), check=False)
    assert (edited.returncode, "dvc.lock: the signature has sha256" in edited.stderr) == (1, True)
    missing = small.run(*check, "--result", "none.json", check=False)
    assert (missing.returncode, "`goodfit lineage reproduce --key` writes one" in missing.stdout) == (3, True)


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"result": "FAILED"}, 1, "mismatch: key"),
        ({"result": "PASSED; trust me"}, 1, "expected PASSED, WARNED or FAILED of dvc.lock alone"),
        ({"passedTests": ["model"]}, 2, "1 of 2 stages of this dvc.lock were made again: PASSED; not score"),
        ({"configuration": []}, 1, "its payload is not the result of a reproduction"),
    ],
)
def test_a_signed_result_counts_only_where_all_stages_were_made_again_and_none_failed(
    small: Project, tmp_path: Path, change: dict[str, Any], code: int, told: str
) -> None:
    key, public = key_pair(small, tmp_path, "auditor")
    statement = as_statement(small.root, reproduce(small.root, say=print))
    statement["predicate"] |= change
    path = tmp_path / "result.json"
    path.write_text(json.dumps(signed(json.dumps(statement).encode(), private_key(key), [])))
    done = small.run("goodfit", "lineage", "check-signature", "--public-key", str(public), "--result", str(path), check=False)
    assert (done.returncode, told in done.stdout + done.stderr) == (code, True)


@pytest.mark.parametrize("subject", [[], [{"name": "README.md", "digest": {"sha256": "0" * 64}}]])
def test_a_result_of_another_file_says_nothing_of_dvc_lock(small: Project, tmp_path: Path, subject: list[Any]) -> None:
    key, public = key_pair(small, tmp_path, "auditor")
    predicate = {
        "result": "PASSED",
        "passedTests": ["model", "score"],
        "warnedTests": [],
        "failedTests": [],
        "configuration": [],
    }
    statement = {"_type": "x", "subject": subject, "predicateType": TEST_RESULT, "predicate": predicate}
    path = tmp_path / "result.json"
    path.write_text(json.dumps(signed(json.dumps(statement).encode(), private_key(key), [])))
    found = signed_result(small.root, [public], path)
    assert found is not None
    assert (found.outcome.name, found.result) == ("MISMATCH", "")


def test_a_key_without_a_place_for_the_result_is_a_usage_error_before_anything_runs(small: Project, tmp_path: Path) -> None:
    alone = small.run("goodfit", "lineage", "reproduce", "--key", "none.pem", check=False, FAIL="1")
    assert (alone.returncode, "expected both" in alone.stderr) == (2, True)
    missing = ("--key", str(tmp_path / "none.pem"), "--output", str(tmp_path / "result.json"))
    lost = small.run("goodfit", "lineage", "reproduce", *missing, check=False, FAIL="1")
    assert (lost.returncode, "the private key cannot be read" in lost.stderr) == (4, True)


def test_a_frozen_stage_is_refused(small: Project) -> None:
    small.run("dvc", "freeze", "model")
    small.run("git", "commit", "-qam", "Freeze")
    with pytest.raises(GoodfitError, match=r"dvc\.yaml freezes model"):
        reproduce(small.root, say=print)


def test_a_recorded_file_that_is_lost_is_compared_by_its_digest(small: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    small.run("rm", "-rf", ".dvc/cache/files", "out")
    assert reproduce(small.root, say=print).outcome is Outcome.IDENTICAL
    monkeypatch.setenv("NOISE", "1e-9")
    found = reproduce(small.root, tolerance=1e-3, say=print)
    assert found.outcome is Outcome.DIVERGED
    assert found.first is not None
    assert (found.first.differences, "not in DVC's cache" in found.first.note) == (None, True)


def validated(document: dict[str, Any]) -> None:
    """By the package of the in-toto project, which refuses a field that its schema does not have."""
    from google.protobuf import json_format
    from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult
    from in_toto_attestation.v1.resource_descriptor_pb2 import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    subjects = [json_format.ParseDict(subject, ResourceDescriptor()) for subject in document["subject"]]
    Statement(subjects, document["predicateType"], document["predicate"]).validate()
    json_format.ParseDict(document["predicate"], TestResult())


@pytest.mark.parametrize(
    ("noise", "tolerance", "result"), [("0", 0.0, "PASSED"), ("1e-7", 1e-3, "WARNED"), ("1", 0.0, "FAILED")]
)
def test_the_result_is_an_in_toto_test_result(
    small: Project, monkeypatch: pytest.MonkeyPatch, noise: str, tolerance: float, result: str
) -> None:
    monkeypatch.setenv("NOISE", noise)
    found = reproduce(small.root, tolerance=tolerance, say=print)
    document = as_statement(small.root, found)
    validated(document)
    assert (document["predicateType"], document["predicate"]["result"]) == (TEST_RESULT, result)
    stages = {"PASSED": "passedTests", "WARNED": "warnedTests", "FAILED": "failedTests"}[result]
    assert document["predicate"][stages] == ["model", "score"]
    assert {"name": "commit", "digest": {"gitCommit": found.commit}} in document["predicate"]["configuration"]


@pytest.mark.parametrize("failed", ["", "\x1b[2Jfit\nproven"])
def test_the_name_of_a_stage_cannot_add_a_line_or_clear_the_screen(failed: str) -> None:
    name = "\x1b[2Jfit\nproven"
    differing = [] if failed else [FileResult(name, "model", "data", "none", "none", None, name)]
    text = as_text(Reproduction("HEAD", "0" * 40, 0.0, [name], 1, differing, [], [], failed=failed))
    assert text.count(r"\x1b[2Jfit\nproven") == (2 if failed else 3)
    assert "\x1b" not in text


def test_an_edit_of_goodfits_own_code_since_the_record_is_named(ran: Project, temporary: Path) -> None:
    file = ran.root / "flows/lineage/digest.py"
    before = digest_file(file).md5
    with file.open("a") as text:
        text.write("# a comment\n")
    ran.run("git", "commit", "-qam", "Edit goodfit's own code")
    found = reproduce(ran.root, stage="download", say=print)
    assert [(other.name, other.recorded, other.here) for other in found.surroundings] == [
        ("flows/lineage/digest.py", f"md5 {before}", f"md5 {digest_file(file).md5}")
    ]
    assert found.outcome is Outcome.WITHIN_TOLERANCE
    assert [one.path for one in found.differing] == ["lineage/download.json"]


def test_a_training_with_other_instructions_diverges_within_a_tolerance_and_the_environment_says_why(
    ran: Project, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is made with torch's plainest code, and made again with what this processor has."""
    import torch

    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has no other instruction set than torch's plainest")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    ran.run("dvc", "repro", "-q", "-f", "--single-item", "train", ATEN_CPU_CAPABILITY="default")
    ran.run("git", "commit", "-qam", "Train with the plainest instructions")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY")
    found = reproduce(ran.root, path="models/model.safetensors", tolerance=1e-3, say=print)
    assert [(other.name, other.recorded, other.here) for other in found.surroundings] == [
        ("cpu_capability", "DEFAULT", torch.backends.cpu.get_cpu_capability()),
        ("ATEN_CPU_CAPABILITY", "default", "not set"),
    ]
    assert found.outcome is Outcome.WITHIN_TOLERANCE
    by_path = {one.path: one for one in found.differing}
    assert by_path["lineage/train.json"].kind == "statement"
    tensors = {one.name for one in by_path["models/model.safetensors"].differences or []}
    assert tensors
    assert all(0 < (one.largest or 0) < 1e-3 for one in by_path["models/model.safetensors"].differences or [])
