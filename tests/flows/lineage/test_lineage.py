"""Statements, `show` and `verify`, on a real repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.digest import digest_file, digest_paths, directory_md5
from flows.lineage.ignore import IgnoreError
from flows.lineage.journal import journaled, last_failure
from flows.lineage.lock import read_lock
from flows.lineage.reading.show import render, show
from flows.lineage.verify import ExitCode, Mismatch, verify
from tasks.contracts.statement import read_statement
from tasks.core.errors import ArtifactError
from tasks.core.settings import load_yaml
from tests.conftest import ROOT, STAGES, Project

pytestmark = pytest.mark.slow


def flip_a_byte(path: Path) -> None:
    """Change one byte and keep size, mode and mtime: what DVC itself cannot see."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_untouched_repository_is_proven(ran: Project) -> None:
    done = ran.run("python", "-m", "flows.cli", "lineage", "verify")
    assert done.stdout.startswith("proven: ")
    assert f"{len(STAGES)} stages" in done.stdout
    assert done.stderr == ""


def test_every_statement_is_in_toto_with_slsa_provenance(ran: Project) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.resource_descriptor_pb2 import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    for stage in STAGES:
        document = json.loads(ran.text(f"lineage/{stage}.json"))
        subjects = [json_format.ParseDict(subject, ResourceDescriptor()) for subject in document["subject"]]
        Statement(subjects, document["predicateType"], document["predicate"]).validate()
        provenance = json_format.ParseDict(document["predicate"], Provenance())  # refuses a field that the schema does not have
        assert provenance.build_definition.build_type, stage
        assert provenance.run_details.builder.id, stage


def test_a_statement_names_every_input_and_output_of_dvc_yaml(ran: Project) -> None:
    from flows.declaration import read_declaration

    for stage in STAGES:
        declared, statement = read_declaration(ran.root, stage), read_statement(ran.root, stage)
        own = f"lineage/{stage}.json"
        assert statement.inputs == digest_paths(ran.root, declared.deps), stage
        assert statement.outputs == digest_paths(ran.root, [out for out in declared.outs if out != own]), stage
        assert set(statement.params) == {key.partition(".")[0] for key in declared.params}, stage


def test_statements_hold_no_path_host_user_or_time_of_this_machine(ran: Project) -> None:
    import getpass
    import socket

    for stage in STAGES:
        text = ran.text(f"lineage/{stage}.json")
        for word in (str(ran.root), str(Path.home()), socket.gethostname()):
            assert word not in text, word
        assert not re.search(r"\b\d{4}-\d{2}-\d{2}|\b\d{2}:\d{2}:\d{2}", text)  # ISO 8601: a date, a time
        assert f'"{getpass.getuser()}"' not in text


@pytest.mark.parametrize(
    "file",
    [
        "data/raw",
        "data/processed/train.safetensors",
        "models/model.safetensors",
        "metrics/evaluation.json",
        "report/index.html",
        "tasks/train.py",
    ],
)
def test_a_changed_byte_is_found_though_size_and_mtime_are_kept(ran: Project, file: str) -> None:
    path = ran.root / file
    path = next(p for p in sorted(path.rglob("*")) if p.is_file()) if path.is_dir() else path
    was = digest_file(path).sha256
    flip_a_byte(path)
    done = ran.run("python", "-m", "flows.cli", "lineage", "verify", check=False)
    assert done.returncode == ExitCode.MISMATCH
    name = path.relative_to(ran.root).as_posix()
    assert f"{name}: statement has sha256 {was}, found sha256 {digest_file(path).sha256}" in done.stderr


def test_a_changed_statement_is_found_by_the_lock(ran: Project) -> None:
    path = ran.root / "lineage/train.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    result = verify(ran.root)
    assert result.exit_code == ExitCode.MISMATCH
    assert {(m.path, m.source) for m in result.mismatches} >= {
        ("lineage/train.json", "dvc.lock"),
        ("params.yaml: seed", "statement"),
    }


def test_a_changed_parameter_is_found(ran: Project) -> None:
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    result = verify(ran.root, "models/model.safetensors")
    assert result.exit_code == ExitCode.MISMATCH
    assert {m.path for m in result.mismatches} == {"params.yaml: train.epochs"}


def test_a_changed_lock_is_found(ran: Project) -> None:
    md5 = digest_file(ran.root / "models/model.safetensors").md5
    path = ran.root / "dvc.lock"
    path.write_text(path.read_text().replace(md5, md5[::-1]))
    assert {(m.stage, m.path, m.source) for m in verify(ran.root).mismatches} == {
        *(
            (stage, "models/model.safetensors", "dvc.lock")
            for stage in ("train", "compress", "evaluate", "explain", "diagnose")
        ),
        ("train", f".dvc/cache/files/md5/{md5[:-3:-1]}/{md5[-3::-1]}", "dvc.lock"),  # no object has this digest
    }


def test_a_file_too_many_in_a_folder_is_found(ran: Project) -> None:
    (ran.root / "data/raw").chmod(0o755)
    (ran.root / "data/raw/stray.txt").write_text("x")
    result = verify(ran.root)
    assert result.exit_code == ExitCode.MISMATCH
    assert "data/raw/stray.txt" in {m.path for m in result.mismatches}


def test_a_missing_file_and_a_missing_statement_have_their_own_exit_codes(ran: Project) -> None:
    command = ("python", "-m", "flows.cli", "lineage", "verify", "--json")
    (ran.root / "lineage/report.json").unlink()
    none = ran.run(*command, check=False)
    assert (none.returncode, json.loads(none.stdout)["outcome"]) == (ExitCode.NO_STATEMENT, "no_statement")
    (ran.root / "results/history.csv").unlink()
    missing = ran.run(*command, check=False)
    assert (missing.returncode, json.loads(missing.stdout)["outcome"]) == (ExitCode.MISSING, "missing")


def test_nothing_run_yet_is_missing_not_proven(fresh: Project) -> None:
    assert verify(fresh.root).exit_code == ExitCode.MISSING


def test_verify_of_a_file_leaves_later_stages_out(ran: Project) -> None:
    flip_a_byte(ran.root / "report/index.html")
    assert verify(ran.root, "models/model.safetensors").exit_code == ExitCode.CONSISTENT
    assert verify(ran.root).exit_code == ExitCode.MISMATCH


def test_a_file_that_no_stage_writes_is_refused_with_the_nearest(ran: Project) -> None:
    done = ran.run("python", "-m", "flows.cli", "lineage", "show", "models/modl.safetensors", check=False)
    assert done.returncode == 1
    assert "no stage writes 'models/modl.safetensors'; did you mean models/model.safetensors" in done.stderr


def test_show_marks_what_was_written_anew_since_it_was_read(ran: Project) -> None:
    show = ("python", "-m", "flows.cli", "lineage", "show", "metrics/evaluation.json")
    assert "out of date" not in ran.run(*show).stdout
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 2 ")
    ran.repro("train")
    marked = [line for line in ran.run(*show).stdout.splitlines() if "out of date" in line]
    assert ["models/model.json" in marked[0], "models/model.safetensors" in marked[1], len(marked)] == [True, True, 2]
    document = json.loads(ran.run(*show, "--json").stdout)
    assert document["written_since"].keys() == {"models/model.json", "models/model.safetensors"}


@pytest.mark.parametrize("added", ["junk: null", "more: {}"])
def test_verify_sees_a_parameter_that_says_nothing(ran: Project, added: str) -> None:
    ran.edit("params.yaml", "\ntrain:\n", f"\ntrain:\n  {added}\n")
    (mismatch, *_) = verify(ran.root, "models/model.json").mismatches
    assert (mismatch.path, mismatch.expected) == (f"params.yaml: train.{added.split(':', maxsplit=1)[0]}", "no such key")


def test_verify_outside_a_project_is_no_mismatch(ran: Project) -> None:
    assert ran.run("sh", "-c", "cd / && goodfit lineage verify", check=False).returncode == ExitCode.NOT_CHECKED


def test_verify_of_a_file_that_no_stage_writes_is_no_mismatch(ran: Project) -> None:
    done = ran.run("python", "-m", "flows.cli", "lineage", "verify", "models/modl.safetensors", check=False)
    assert done.returncode == ExitCode.NOT_CHECKED
    assert "no stage writes 'models/modl.safetensors'" in done.stderr


def test_show_leads_from_the_report_back_to_the_raw_data(ran: Project) -> None:
    printed = ran.run("python", "-m", "flows.cli", "lineage", "show", "report/index.html").stdout
    raw = digest_file(next(file for file in (ran.root / "data/raw").rglob("*") if file.is_file())).sha256
    assert raw[:12] in printed
    assert all(f"python -m flows.stage {stage}" in printed for stage in STAGES if stage != "gates")  # it comes after the report
    assert "train.optimizer.name: adam" in printed


def test_show_as_json_has_whole_digests_and_names_each_stage_once(ran: Project) -> None:
    node = json.loads(ran.run("python", "-m", "flows.cli", "lineage", "show", "metrics/evaluation.json", "--json").stdout)
    assert node["outputs"]["metrics/evaluation.json"] == digest_file(ran.root / "metrics/evaluation.json").sha256
    assert node.pop("summary")["commit"]
    assert node == show(ran.root, "metrics/evaluation.json")
    told: list[str] = []

    def walk(stage: dict[str, object], visit: Callable[[str], None]) -> None:
        if not stage.get("shown_above"):
            visit(str(stage["stage"]))
            for before in stage["made_by"]:  # type: ignore[attr-defined]
                walk(before, visit)

    walk(node, told.append)
    assert sorted(told) == ["download", "evaluate", "preprocess", "train"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"_type": "x"}'])
def test_a_damaged_statement_is_refused(ran: Project, content: str) -> None:
    path = ran.root / "lineage/train.json"
    path.unlink()
    path.write_text(content)
    with pytest.raises(ArtifactError, match="run the stage 'train' again"):
        read_statement(ran.root, "train")


def test_a_directorys_digest_is_dvcs(ran: Project) -> None:
    from tasks.core.settings import load_yaml

    locked = {out["path"]: out["md5"] for out in load_yaml(ran.root / "dvc.lock")["stages"]["download"]["outs"]}
    assert directory_md5(digest_paths(ran.root, ["data/raw"]), "data/raw") == locked["data/raw"]
    code = {dep["path"]: dep["md5"] for dep in load_yaml(ran.root / "dvc.lock")["stages"]["train"]["deps"]}
    assert directory_md5(digest_paths(ran.root, ["tasks/core"]), "tasks/core") == code["tasks/core"]


def test_dvc_checkout_brings_statements_back_with_what_they_describe(ran: Project) -> None:
    shutil.rmtree(ran.root / "lineage")
    shutil.rmtree(ran.root / "models")
    ran.run("dvc", "checkout")
    assert verify(ran.root).exit_code == ExitCode.CONSISTENT


def lock(project: Project) -> dict[str, Any]:
    return load_yaml(project.root / "dvc.lock")


def write_lock(project: Project, document: dict[str, Any]) -> None:
    (project.root / "dvc.lock").write_text(json.dumps(document))  # JSON is YAML


def test_a_lock_that_lists_less_than_is_declared_proves_nothing(ran: Project) -> None:
    """The forgery: the model's byte flipped, its new digest in every statement, and what would tell taken out of the lock."""
    model, document = ran.root / "models/model.safetensors", lock(ran)
    was = digest_file(model)
    flip_a_byte(model)
    now = digest_file(model)
    for stage in ("train", "compress", "evaluate", "explain", "diagnose"):
        statement = ran.root / f"lineage/{stage}.json"
        text = statement.read_text().replace(was.sha256, now.sha256).replace(was.md5, now.md5)
        statement.unlink()
        statement.write_text(text)
    unlisted = {"models/model.safetensors", "lineage/train.json"}
    entry = document["stages"]["train"]
    entry["outs"] = [out for out in entry["outs"] if out["path"] not in unlisted]
    unlisted |= {dep["path"] for dep in entry.pop("deps")}
    write_lock(ran, document)
    result = verify(ran.root, "models/model.safetensors")
    assert result.exit_code == ExitCode.MISMATCH
    assert {(m.stage, m.path, m.source) for m in result.mismatches} == {("train", path, "dvc.yaml") for path in unlisted}


@pytest.mark.parametrize("kind", ["deps", "outs"])
def test_a_lock_that_lists_more_than_is_declared_is_found(ran: Project, kind: str) -> None:
    document = lock(ran)
    document["stages"]["train"][kind].append({"path": "stray", "hash": "md5", "md5": "0" * 32})
    write_lock(ran, document)
    (found,) = verify(ran.root).mismatches
    expected = f"no such {'input' if kind == 'deps' else 'output'}"
    assert found == Mismatch("train", "stray", ExitCode.MISMATCH, expected, f"md5 {'0' * 32} in dvc.lock", "dvc.yaml")


@pytest.mark.parametrize("place", ["dvc.yaml", "dvc.lock", "lineage/train.json"])
def test_a_changed_command_is_found(ran: Project, place: str) -> None:
    path = ran.root / place
    text = path.read_text().replace("python -m flows.stage train", "echo forged")
    path.unlink()
    path.write_text(text)
    found = {(m.path, m.source) for m in verify(ran.root, "models/model.json").mismatches}
    statement, locked = ("dvc.yaml: cmd", "statement"), ("dvc.yaml: cmd", "dvc.lock")
    own = ("lineage/train.json", "dvc.lock")  # its bytes
    expected = {"dvc.yaml": {statement, locked}, "dvc.lock": {locked}, "lineage/train.json": {statement, own}}
    assert found == expected[place]


def test_a_parameter_that_is_no_longer_declared_is_found(ran: Project) -> None:
    ran.edit("dvc.yaml", "params: [download.dataset, preprocess, seed]", "params: [download.dataset, preprocess]")
    found = {(m.path, m.source) for m in verify(ran.root).mismatches}
    assert found == {("params.yaml: seed", "statement"), ("params.yaml: seed", "dvc.lock")}


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("metrics/evaluation.json", ("git", "checkout", "metrics/evaluation.json")),
        ("tasks/evaluate.py", ("git", "checkout", "tasks/evaluate.py")),
        ("results/predictions.parquet", ("dvc", "checkout")),
    ],
)
def test_what_is_said_to_bring_a_missing_file_back_does(ran: Project, file: str, remedy: tuple[str, ...]) -> None:
    (ran.root / file).unlink()
    result = verify(ran.root, "results/predictions.parquet")
    assert result.exit_code == ExitCode.MISSING
    assert {m.path for m in result.mismatches} == {file}
    assert all(f"`{' '.join(remedy)}`" in m.found for m in result.mismatches)
    ran.run(*remedy)
    assert verify(ran.root).exit_code == ExitCode.CONSISTENT


def test_a_file_that_neither_lies_there_nor_in_the_statement_is_missing(ran: Project) -> None:
    statement, document = ran.root / "lineage/report.json", lock(ran)
    text = json.loads(statement.read_text())
    text["subject"] = []
    statement.unlink()
    statement.write_text(json.dumps(text))
    recorded = next(out for out in document["stages"]["report"]["outs"] if out["path"] == "lineage/report.json")
    recorded |= {"md5": digest_file(statement).md5, "size": statement.stat().st_size}
    write_lock(ran, document)
    (ran.root / "report/index.html").unlink()
    assert {(m.path, m.kind) for m in verify(ran.root).mismatches} == {("report/index.html", ExitCode.MISSING)}


def test_a_file_that_is_a_link_into_dvcs_cache_is_found_by_its_name(ran: Project) -> None:
    ran.run("dvc", "config", "cache.type", "symlink")
    ran.run("dvc", "checkout", "--relink")
    assert (ran.root / "models/model.safetensors").is_symlink()
    for path in ("models/model.safetensors", "models/../models/model.json", str(ran.root / "models/model.safetensors")):
        assert ran.run("python", "-m", "flows.cli", "lineage", "verify", path).stdout.startswith("proven: ")
    inner = ran.run(
        "sh", "-c", "cd models && exec python -m flows.cli lineage verify model.safetensors", PYTHONPATH=str(ran.root)
    )
    assert inner.stdout.startswith("proven: ")
    raw = next(file for file in (ran.root / "data/raw").rglob("*") if file.is_symlink())
    raw.resolve().unlink()  # what `dvc gc` does: the link leads nowhere
    assert verify(ran.root).exit_code == ExitCode.MISSING


def test_a_folders_digest_leaves_out_what_dvcignore_does(fresh: Project) -> None:
    patterns = [".DS_Store", "*.tmp", "!kept.tmp", "/tasks/core/drafts/", "notes/"]
    ignored = (".DS_Store", "a.tmp", "drafts/a.py", "deep/notes/kept.tmp", "deep/.DS_Store")
    counted = ("kept.tmp", "deep/drafts/a.py", "deep/b.txt", "notes.txt", ".hidden", "deep/kept.tmp")
    with (fresh.root / ".dvcignore").open("a") as file:
        file.write("\n".join(["# ours", "", *patterns]) + "\n")
    (fresh.root / "tasks/.dvcignore").write_text("/core/notes.txt\n!b.tmp\n")
    for folder in ("tasks/core", "data/source"):
        for name in (*ignored, *counted, "b.tmp"):
            path = fresh.root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    # data/source has drafts/ too: the pattern that names tasks/ does not reach it.
    fresh.edit("params.yaml", "path: data/source/README.md", "path: data/source")
    fresh.repro("download")
    entry = lock(fresh)["stages"]["download"]
    locked = {dep["path"]: dep["md5"] for dep in entry["deps"]}
    for folder in ("tasks/core", "data/source"):
        assert directory_md5(digest_paths(fresh.root, [folder]), folder) == locked[folder]
    code, data = digest_paths(fresh.root, ["tasks/core"]), digest_paths(fresh.root, ["data/source"])
    assert not {f"tasks/core/{name}" for name in (*ignored, "notes.txt")} & code.keys()
    assert {f"tasks/core/{name}" for name in (*counted, "b.tmp")} - code.keys() == {"tasks/core/notes.txt"}
    assert {"data/source/notes.txt", "data/source/drafts/a.py"} <= data.keys()
    assert "data/source/b.tmp" not in data
    assert verify(fresh.root, "data/raw").exit_code == ExitCode.CONSISTENT


def test_a_folder_outside_the_repository_is_hashed_whole_as_dvc_does(fresh: Project) -> None:
    outside = fresh.root.parent / "source"
    shutil.copytree(fresh.root / "data/source", outside)
    (outside / "a.pyc").write_text("no bytecode of ours")
    fresh.edit("params.yaml", "path: data/source/README.md", "path: ../source")
    fresh.repro("download")
    assert "../source/a.pyc" in read_statement(fresh.root, "download").inputs
    assert verify(fresh.root, "data/raw").exit_code == ExitCode.CONSISTENT


def test_a_line_of_dvcignore_that_is_no_pattern_is_named(fresh: Project) -> None:
    (fresh.root / ".dvcignore").write_text("!\n")
    with pytest.raises(IgnoreError, match=r"\.dvcignore cannot be read .* expected patterns as in \.gitignore"):
        digest_paths(fresh.root, ["tasks/datasets"])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("dvc.lock", "stages: []", "dvc.lock: stages: found []; expected a mapping"),
        ("dvc.lock", "stages: {train: 1}", "dvc.lock: stages.train: found 1; expected an entry"),
        ("dvc.lock", "stages: {train: {cmd: [x]}}", "dvc.lock: stages.train.cmd: found ['x']; expected one command"),
        ("dvc.lock", "stages: {train: {cmd: x, deps: {}}}", "dvc.lock: stages.train.deps: found {}; expected a list"),
        ("dvc.lock", "stages: {train: {cmd: x, outs: [{path: a}]}}", "dvc.lock: stages.train.outs: found {'path': 'a'}"),
        (
            "dvc.lock",
            f"stages: {{t: {{cmd: x, outs: [{{path: a, md5: {'b' * 32}}}, {{path: a, md5: {'c' * 32}}}]}}}}",
            "expected each path once",
        ),
        ("dvc.lock", "stages: {t: {cmd: x, params: {params.yaml: []}}}", "dvc.lock: stages.t.params: found []"),
        ("dvc.yaml", "stages: [1]", "dvc.yaml: stages: found [1]; expected a mapping"),
        ("dvc.yaml", "stages: {train: 1}", "dvc.yaml: stages.train: found 1; expected a stage"),
        ("dvc.yaml", "stages: {train: {deps: []}}", "dvc.yaml: stages.train.cmd: found None; expected one command"),
        ("dvc.yaml", "stages: {train: {cmd: x, deps: y}}", "dvc.yaml: stages.train.deps: found 'y'; expected a list"),
        ("dvc.yaml", "stages: {train: {cmd: x, outs: [1]}}", "dvc.yaml: stages.train.outs: found 1; expected a path"),
        ("dvc.yaml", "stages: {train: {cmd: x, params: [{a: [b]}]}}", "dvc.yaml: stages.train.params: found {'a': ['b']}"),
    ],
)
def test_a_malformed_file_is_an_error_of_one_line(fresh: Project, file: str, content: str, message: str) -> None:
    (fresh.root / file).write_text(content)
    done = fresh.run("python", "-m", "flows.cli", "lineage", "verify", "--json", check=False)
    assert done.returncode == ExitCode.NOT_CHECKED
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_two_parameters_choose_may_be_listed_twice(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(
        f"stages: {{t: {{cmd: x, deps: [{{path: a, md5: {'b' * 32}}}, {{path: a, md5: {'b' * 32}}}]}}}}"
    )
    assert read_lock(tmp_path)["t"].deps == {"a": "b" * 32}


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", None])
def test_verify_reports_a_damaged_statement_with_all_else(ran: Project, content: bytes | None) -> None:
    path = ran.root / "lineage/train.json"
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    flip_a_byte(ran.root / "models/model.safetensors")
    done = ran.run("python", "-m", "flows.cli", "lineage", "verify", "models/model.json", "--json", check=False)
    assert done.returncode == ExitCode.MISMATCH
    found = {(m["path"], m["source"]) for m in json.loads(done.stdout)["mismatches"]}
    assert found == {
        ("lineage/train.json", "dvc.yaml"),
        ("lineage/train.json", "dvc.lock"),
        ("models/model.safetensors", "dvc.lock"),
    }


@pytest.mark.parametrize(
    ("old", "new"), [('"parameters": {', '"parameters": 1, "other": {'), ('"command": "', '"command": 1, "other": "')]
)
def test_a_statement_with_a_value_of_another_type_is_refused(ran: Project, old: str, new: str) -> None:
    path = ran.root / "lineage/train.json"
    text = path.read_text()
    assert text.count(old) == 1
    path.unlink()
    path.write_text(text.replace(old, new))
    with pytest.raises(ArtifactError, match="is not an in-toto statement"):
        read_statement(ran.root, "train")


def test_a_journal_that_cannot_be_written_does_not_fail_the_stage(ran: Project) -> None:
    (ran.root / ".dvc/tmp/goodfit/journal.jsonl").unlink()
    (ran.root / ".dvc/tmp/goodfit/journal.jsonl").mkdir()
    done = ran.run("python", "-m", "flows.stage", "download")
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: download: no line in .dvc/tmp/goodfit/journal.jsonl (")
    assert verify(ran.root, "data/raw").exit_code == ExitCode.CONSISTENT


def test_a_journal_that_cannot_be_written_does_not_hide_the_stages_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".dvc/tmp/goodfit/journal.jsonl").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="its own"), journaled(tmp_path, "train", door="dvc"):
        raise ArtifactError("its own")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_last_failure_is_of_a_stage_whose_last_run_failed(tmp_path: Path) -> None:
    assert last_failure(tmp_path) is None
    with pytest.raises(ArtifactError), journaled(tmp_path, "train", door="dvc"):
        raise ArtifactError("train: the loss is nan")
    assert last_failure(tmp_path) == "the last run of 'train' failed: the loss is nan"
    with pytest.raises(KeyboardInterrupt), journaled(tmp_path, "train", door="dvc"):
        raise KeyboardInterrupt
    assert last_failure(tmp_path) == "the last run of 'train' was interrupted"
    with journaled(tmp_path, "diagnose", door="dvc") as entry:  # runs beside it
        entry.outcome = "ran"
    assert last_failure(tmp_path) == "the last run of 'train' was interrupted"
    with journaled(tmp_path, "train", door="dvc") as entry:
        entry.outcome = "ran"
    assert last_failure(tmp_path) is None


def test_the_verdict_says_first_that_the_last_run_failed(ran: Project) -> None:
    (ran.root / "models/model.json").unlink()
    with pytest.raises(ArtifactError), journaled(ran.root, "train", door="dvc"):
        raise ArtifactError("the loss is nan")
    done = ran.run("python", "-m", "flows.cli", "verdict", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: the last run of 'train' failed: the loss is nan"
    assert "this verdict cannot be checked" in done.stderr.splitlines()[1]


def test_a_lost_folder_is_not_a_flood_of_lines(ran: Project) -> None:
    shutil.rmtree(ran.root / "data/raw")
    shutil.rmtree(ran.root / "tasks/charts")
    shutil.rmtree(ran.root / "tasks/core")
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "lineage", "verify"],
        cwd=ran.root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 21
    assert re.fullmatch(r"and \d+ more; --json lists them all", lines[-1])
    assert re.match(
        rf"missing: \d+ items do not match what was recorded: \d+ files of {len(STAGES)} stages hashed again", done.stdout
    )


def test_without_the_git_program_the_line_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with journaled(tmp_path, "train", door="dvc") as entry:
        entry.outcome = "ran"
    line = json.loads((tmp_path / ".dvc/tmp/goodfit/journal.jsonl").read_text())
    assert (line["outcome"], line["commit"]) == ("ran", None)


@pytest.mark.slow
def test_the_peak_of_memory_is_that_of_the_stages_process(ran: Project) -> None:
    """The flow's own process uses more: what it holds is not counted, and a stage that does not run has none."""
    mebibytes = 1 << 20
    script = (
        "from pathlib import Path; from flows.gate import pass_gate; from flows.lineage.journal import journaled\n"
        "held = bytearray(2000 * (1 << 20))\n"
        "for force in (True, False):\n"
        "    with journaled(Path(), 'report', door='flow') as entry: entry.outcome = pass_gate('report', force=force)\n"
    )
    ran.run(sys.executable, "-c", script)
    lines = [json.loads(line) for line in ran.text(".dvc/tmp/goodfit/journal.jsonl").splitlines()][-2:]
    assert [(line["door"], line["outcome"]) for line in lines] == [("flow", "ran"), ("flow", "unchanged")]
    assert 30 * mebibytes < lines[0]["peak_memory_bytes"] < 1500 * mebibytes
    assert lines[1]["peak_memory_bytes"] is None


def test_the_tree_shows_parameters_as_params_yaml_states_them(ran: Project) -> None:
    from rich.console import Console

    console = Console(width=400)
    with console.capture() as captured:
        console.print(render(show(ran.root, "models/model.safetensors")))
    assert "train.shuffle: true" in captured.get()
    assert "train.early_stopping.enabled: false" in captured.get()
    assert "True" not in captured.get()
