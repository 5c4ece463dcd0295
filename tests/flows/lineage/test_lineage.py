"""Statements, `show` and `verify`, on a real repository."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.lineage.digest import digest_file, digest_paths, directory_md5
from flows.lineage.show import show
from flows.lineage.statement import read_statement
from flows.lineage.verify import ExitCode, verify
from tasks.contracts.errors import ArtifactError
from tests.conftest import STAGES, Project

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
    assert "6 stages" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("stage", STAGES)
def test_every_statement_is_in_toto_with_slsa_provenance(ran: Project, stage: str) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.resource_descriptor_pb2 import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    document = json.loads(ran.text(f"lineage/{stage}.json"))
    subjects = [json_format.ParseDict(subject, ResourceDescriptor()) for subject in document["subject"]]
    Statement(subjects, document["predicateType"], document["predicate"]).validate()
    provenance = json_format.ParseDict(document["predicate"], Provenance())  # refuses a field that the schema does not have
    assert provenance.build_definition.build_type
    assert provenance.run_details.builder.id


@pytest.mark.parametrize("stage", STAGES)
def test_a_statement_names_every_input_and_output_of_dvc_yaml(ran: Project, stage: str) -> None:
    from flows.declaration import read_declaration

    declared, statement = read_declaration(ran.root, stage), read_statement(ran.root, stage)
    own = f"lineage/{stage}.json"
    assert statement.inputs == digest_paths(ran.root, declared.deps)
    assert statement.outputs == digest_paths(ran.root, [out for out in declared.outs if out != own])
    assert set(statement.params) == set(declared.params)


def test_statements_hold_no_path_host_user_or_time_of_this_machine(ran: Project) -> None:
    import getpass
    import socket

    for stage in STAGES:
        text = ran.text(f"lineage/{stage}.json")
        for word in (str(ran.root), str(Path.home()), socket.gethostname(), "2026-", "2027-"):
            assert word not in text, word
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
    assert {m.path for m in result.mismatches} == {"params.yaml: train"}


def test_a_changed_lock_is_found(ran: Project) -> None:
    md5 = digest_file(ran.root / "models/model.safetensors").md5
    path = ran.root / "dvc.lock"
    path.write_text(path.read_text().replace(md5, md5[::-1]))
    assert {(m.stage, m.path, m.source) for m in verify(ran.root).mismatches} == {
        (stage, "models/model.safetensors", "dvc.lock") for stage in ("train", "evaluate", "diagnose")
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
    assert verify(ran.root, "models/model.safetensors").exit_code == ExitCode.PROVEN
    assert verify(ran.root).exit_code == ExitCode.MISMATCH


def test_a_file_that_no_stage_writes_is_refused_with_those_that_are(ran: Project) -> None:
    done = ran.run("python", "-m", "flows.cli", "lineage", "show", "models/modl.safetensors", check=False)
    assert done.returncode == 1
    assert "no stage writes 'models/modl.safetensors'; expected one of data/raw" in done.stderr


def test_show_leads_from_the_report_back_to_the_raw_data(ran: Project) -> None:
    printed = ran.run("python", "-m", "flows.cli", "lineage", "show", "report/index.html").stdout
    raw = digest_file(next(file for file in (ran.root / "data/raw").rglob("*") if file.is_file())).sha256
    assert raw[:12] in printed
    assert all(f"python -m flows.stage {stage}" in printed for stage in STAGES)
    assert "train.optimizer.name: adam" in printed


def test_show_as_json_has_whole_digests_and_names_each_stage_once(ran: Project) -> None:
    node = json.loads(ran.run("python", "-m", "flows.cli", "lineage", "show", "metrics/evaluation.json", "--json").stdout)
    assert node["outputs"]["metrics/evaluation.json"] == digest_file(ran.root / "metrics/evaluation.json").sha256
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
    with pytest.raises(ArtifactError, match="dvc repro train"):
        read_statement(ran.root, "train")


def test_a_directorys_digest_is_dvcs(ran: Project) -> None:
    from tasks.contracts.params import load_yaml

    locked = {out["path"]: out["md5"] for out in load_yaml(ran.root / "dvc.lock")["stages"]["download"]["outs"]}
    assert directory_md5(digest_paths(ran.root, ["data/raw"]), "data/raw") == locked["data/raw"]
    code = {dep["path"]: dep["md5"] for dep in load_yaml(ran.root / "dvc.lock")["stages"]["train"]["deps"]}
    assert directory_md5(digest_paths(ran.root, ["tasks/learning"]), "tasks/learning") == code["tasks/learning"]


def test_dvc_checkout_brings_statements_back_with_what_they_describe(ran: Project) -> None:
    shutil.rmtree(ran.root / "lineage")
    shutil.rmtree(ran.root / "models")
    ran.run("dvc", "checkout")
    assert verify(ran.root).exit_code == ExitCode.PROVEN
