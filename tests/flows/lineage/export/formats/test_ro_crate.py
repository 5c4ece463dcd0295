"""The crate: its files, its metadata, and what the validator of RO-Crate says of it."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from flows.lineage.digest import digest_file
from flows.lineage.export.formats import ro_crate
from flows.lineage.export.recorded import Recorded
from flows.lineage.lock import read_lock
from flows.lineage.signing.auditor import place
from tasks.contracts.statement import Statement
from tasks.core.errors import GoodfitError
from tests.conftest import STAGES, Project

pytestmark = pytest.mark.slow

# roc-validator pins an older rich than goodfit needs, so that it is installed elsewhere; it fetches RO-Crate's JSON-LD context.
VALIDATOR = os.environ.get("ROC_VALIDATOR") or shutil.which("rocrate-validator")


@pytest.fixture(scope="module")
def crate(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crates") / "crate"
    ro_crate.export(recorded, str(folder))
    return folder


@pytest.fixture(scope="module")
def graph(crate: Path) -> dict[str, dict[str, Any]]:
    """The entities by their id."""
    found = json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in found}
    assert len(entities) == len(found)
    return entities


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value.keys() == {"@id"}:
        yield value["@id"]
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from references(item)


@pytest.mark.skipif(not VALIDATOR, reason="no rocrate-validator: ROC_VALIDATOR names the one of another environment")
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_the_validator_finds_the_profile_fulfilled(recorded: Recorded, crate: Path, kind: str, tmp_path: Path) -> None:
    if kind == "zip":
        ro_crate.export(recorded, str(tmp_path / "crate.zip"))
    target = crate if kind == "folder" else tmp_path / "crate.zip"
    command = [str(VALIDATOR), "--no-interactive", "validate", "-p", "process-run-crate", "-l", "required", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "is a valid process-run-crate" in done.stdout


def test_the_crate_has_every_file_of_the_record_with_its_digest(
    recorded: Recorded, crate: Path, graph: dict[str, dict[str, Any]]
) -> None:
    copied = {path.relative_to(crate).as_posix(): path for path in crate.rglob("*") if path.is_file()}
    assert copied.keys() == recorded.files.keys() | {"dvc.lock", "ro-crate-metadata.json"}
    for name, path in copied.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert name not in recorded.files or digest == recorded.files[name].sha256
        assert graph.get(name, {}).get("sha256", digest) == digest
    for entity in graph.values():
        if entity["@type"] == "Dataset":
            assert (crate / entity["@id"]).is_dir(), entity["@id"]


def test_every_reference_leads_to_an_entity(graph: dict[str, dict[str, Any]]) -> None:
    named = {name for entity in graph.values() for key, value in entity.items() if key != "@id" for name in references(value)}
    assert named - graph.keys() == {"https://w3id.org/ro/crate/1.1"}
    assert graph["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    assert set(references(graph["./"]["mentions"])) == {
        key for key, entity in graph.items() if entity["@type"] == "CreateAction"
    }


def test_each_stage_is_an_action_with_its_tool_inputs_and_results(recorded: Recorded, graph: dict[str, dict[str, Any]]) -> None:
    lock = read_lock(recorded.root)
    for stage in STAGES:
        action = graph[f"#{recorded.stage_id(stage)}"]
        tool = graph[action["instrument"]["@id"]]
        assert tool["@type"] == ["File", "SoftwareSourceCode"]
        assert (tool["name"], tool["version"]) == (f"python -m flows.stage {stage}", recorded.files[f"tasks/{stage}.py"].sha256)
        names = {graph[name]["name"] for name in references(action["object"])}
        parameters = {name for name in names if name not in lock[stage].deps}
        assert names - parameters == lock[stage].deps.keys() - {f"tasks/{stage}.py"}
        assert {graph[name]["name"] for name in references(action["result"])} == lock[stage].outs.keys()
        assert (action["startTime"], action["endTime"]) == (recorded.times(stage).started, recorded.times(stage).finished)
    epochs = graph[f"#{recorded.stage_id('train')}/train.epochs"]
    assert (epochs["@type"], epochs["value"]) == ("PropertyValue", "3")


def test_a_zip_has_the_same_files_and_the_same_bytes_each_time(
    recorded: Recorded, crate: Path, ran: Project, tmp_path: Path
) -> None:
    ro_crate.export(recorded, str(tmp_path / "one.zip"))
    ran.run("goodfit", "lineage", "export", "--format", "ro-crate", "-o", str(tmp_path / "two.zip"), PYTHONHASHSEED="7")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with ZipFile(tmp_path / "one.zip") as opened:
        assert opened.testzip() is None
        packed = {name: opened.read(name) for name in opened.namelist() if not name.endswith("/")}
    assert packed == {path.relative_to(crate).as_posix(): path.read_bytes() for path in crate.rglob("*") if path.is_file()}


def test_what_is_there_already_stays(recorded: Recorded, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken.zip").write_text("kept")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("taken", "taken.zip", "link"):
        with pytest.raises(GoodfitError, match=rf"{name} exists already; expected a new name"):
            ro_crate.export(recorded, str(tmp_path / name))
    assert {path.name for path in tmp_path.rglob("*")} == {"taken", "taken.zip", "link"}
    assert (tmp_path / "taken.zip").read_text() == "kept"
    for output in (None, "https://host/crate.zip"):
        with pytest.raises(GoodfitError, match=r"a crate is a folder or a zip: name it with `-o FOLDER` or `-o FILE.zip`"):
            ro_crate.export(recorded, output)


@pytest.mark.parametrize("output", ["crate", "crate.zip"])
def test_a_file_that_is_not_the_recorded_one_leaves_no_crate(ran: Project, output: str) -> None:
    path = ran.root / "models/model.safetensors"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = ran.run("goodfit", "lineage", "export", "--format", "ro-crate", "-o", output, check=False)
    assert done.returncode == 1
    assert "models/model.safetensors has sha256" in done.stderr
    assert not [entry for entry in ran.root.iterdir() if "crate" in entry.name]


@pytest.mark.parametrize("kind", ["folder", "crate.zip"])
def test_a_file_from_outside_of_the_repository_stays_inside_of_the_crate(recorded: Recorded, tmp_path: Path, kind: str) -> None:
    """Wherever in its path the `..` is that leads out."""
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"image")
    up = Path(os.path.relpath(outside, recorded.root)).as_posix()
    names = [up, f"data/raw/../../{up}", outside.as_posix()]
    document = json.loads((recorded.root / "lineage/download.json").read_text())
    digest = digest_file(outside)._asdict()
    document["subject"] += [{"name": name, "digest": digest} for name in names]
    download = Statement.model_validate_json(json.dumps(document))
    odd = Recorded(recorded.root, {**recorded.stages, "download": download}, recorded.own)
    target = tmp_path / "below/below" / kind
    target.parent.mkdir(parents=True)
    ro_crate.export(odd, str(target))
    if target.is_dir():
        held = [path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()]
    else:
        with ZipFile(target) as opened:
            held = opened.namelist()
    places = {place(name) for name in names}
    assert {name for name in held if name.endswith("outside.png")} == places
    assert len(places) == 3
    assert not any(".." in name.split("/") or name.startswith("/") for name in held)
