"""The bill of materials, validated by CycloneDX's own library."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from flows.lineage.digest import digest_file
from flows.lineage.export.formats import cyclonedx
from flows.lineage.export.recorded import Recorded
from tests.conftest import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("cyclonedx") / "bom.json"
    cyclonedx.export(recorded, str(file))
    return file.read_text()


@pytest.fixture(scope="module")
def bom(text: str) -> Any:
    return json.loads(text)


def validate(text: str) -> object:
    """None, or what is wrong by the strict schema of 1.7."""
    return JsonStrictValidator(SchemaVersion.V1_7).validate_str(text)


def named(bom: Any) -> dict[str, Any]:
    """Every component, and their parts, by their reference."""
    found = {}
    for component in [bom["metadata"]["component"], *bom["components"]]:
        for part in [component, *component.get("components", [])]:
            assert part["bom-ref"] not in found, "a reference must be unique"
            found[part["bom-ref"]] = part
    return found


def test_the_strict_validator_of_1_7_accepts_it_and_no_other_key(text: str, bom: Any) -> None:
    assert validate(text) is None
    assert validate(json.dumps(bom | {"other": 1})) is not None
    assert validate(json.dumps(bom | {"metadata": {"component": {"type": "machine-learning-model"}}})) is not None


def test_every_digest_is_that_of_the_bytes(recorded: Recorded, bom: Any) -> None:
    hashed = {ref: part for ref, part in named(bom).items() if "hashes" in part}
    assert hashed.keys() >= {"models/model.safetensors", "models/model.json", "data/raw/digits.csv.gz", "tasks/train.py"}
    for ref, part in hashed.items():
        found = digest_file(recorded.root / ref)
        assert part["hashes"] == [{"alg": "SHA-256", "content": found.sha256}, {"alg": "MD5", "content": found.md5}], ref


def test_the_model_card_has_every_metric_with_its_interval(recorded: Recorded, bom: Any) -> None:
    values = json.loads((recorded.root / "metrics/evaluation.json").read_text())
    metrics = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    found = {}
    for metric in metrics:
        if metric["type"] != "recall":
            found[metric["type"]] = float(metric["value"])
            for end, word in (("lowerBound", "low"), ("upperBound", "high")):
                if "confidenceInterval" in metric:
                    found[f"{metric['type']}_ci_{word}"] = float(metric["confidenceInterval"][end])
    assert found == {name: value for name, value in values.items() if name != "n"}
    with (recorded.root / "results/per_class.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    recalls = [metric for metric in metrics if metric["type"] == "recall"]
    assert [metric["value"] for metric in recalls] == [row["recall"] for row in rows]
    assert [metric["confidenceInterval"]["lowerBound"] for metric in recalls] == [row["recall_ci_low"] for row in rows]


def test_verdict_limits_and_parameters_are_on_the_model(recorded: Recorded, bom: Any) -> None:
    model = bom["metadata"]["component"]
    diagnosis = json.loads((recorded.root / "results/diagnosis.json").read_text())
    properties = {each["name"]: each["value"] for each in model["properties"]}
    assert properties["goodfit:verdict"] == diagnosis["verdict"]
    assert (properties["goodfit:parameter:train.epochs"], properties["goodfit:parameter:train.model.hidden"]) == ("3", "[64]")
    limits = model["modelCard"]["considerations"]["technicalLimitations"]
    assert limits[0].endswith(diagnosis["headline"])
    unclear = [finding["title"] for finding in diagnosis["findings"] if finding["status"] in ("flag", "inconclusive")]
    assert [limit.partition(":")[0] for limit in limits[1:]] == unclear


def test_data_are_components_that_the_model_card_and_the_dependencies_name(bom: Any) -> None:
    parts, model = named(bom), bom["metadata"]["component"]
    splits = {each["ref"] for each in model["modelCard"]["modelParameters"]["datasets"]}
    assert splits == {f"data/processed/{name}.safetensors" for name in ("train", "val", "test")}
    (dependency,) = bom["dependencies"]
    assert dependency["ref"] == model["bom-ref"]
    assert splits | {"pkg:pypi/torch@" + parts_version(bom, "torch")} <= set(dependency["dependsOn"]) <= parts.keys()
    assert parts["dataset/digits"]["data"] == [{"type": "dataset", "name": "digits"}]


def parts_version(bom: Any, name: str) -> str:
    (version,) = (part["version"] for part in bom["components"] if part["name"] == name)
    return str(version)


def test_locked_packages_have_the_hashes_of_the_lock(recorded: Recorded, bom: Any) -> None:
    lock = (recorded.root / "requirements.lock").read_text()
    libraries = [part for part in bom["components"] if part["type"] == "library"]
    # one for each pair of name and version: Python's versions do not all get the same one
    assert len(libraries) == sum("==" in line and not line.startswith((" ", "#")) for line in lock.splitlines())
    for part in libraries:
        begin = lock.index(f"\n{part['name']}=={part['version']}") + 1
        block = lock[begin : lock.index("    # via", begin)]
        (allowed,) = part["externalReferences"]
        assert [each["content"] for each in allowed["hashes"]] == [
            line.split(":")[1].split()[0] for line in block.split("--hash=")[1:]
        ]
    assert {part["name"] for part in libraries if part["scope"] == "required"} >= {name for name, _ in recorded.packages}


def test_the_same_record_gives_the_same_bytes_in_another_folder(text: str, ran: Project) -> None:
    assert ran.run("goodfit", "lineage", "export", "--format", "cyclonedx", PYTHONHASHSEED="7").stdout == text


def test_with_another_lock_than_the_recorded_one_packages_have_no_hashes(
    recorded: Recorded, ran: Project, tmp_path: Path
) -> None:
    lock = ran.root / "requirements.lock"
    lock.write_text(lock.read_text().replace("torch==", "torch==9."))
    ran.run("goodfit", "lineage", "export", "--format", "cyclonedx", "-o", str(tmp_path / "bom.json"))
    text = (tmp_path / "bom.json").read_text()
    assert validate(text) is None
    libraries = [part for part in json.loads(text)["components"] if part["type"] == "library"]
    assert [(part["name"], part["version"]) for part in libraries] == recorded.packages
    assert not any("externalReferences" in part for part in libraries)
    assert "which is not at hand: packages have no digests" in text
