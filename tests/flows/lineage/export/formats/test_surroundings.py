"""What a statement names beside declared files, in every format: the goodfit that wrote it, and undeclared files from outside."""

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from markdown_it import MarkdownIt
from openlineage.client.event_v2 import RunEvent
from prov.model import ProvActivity, ProvAgent, ProvAssociation, ProvDocument, ProvEntity, ProvUsage

from flows.lineage.export.formats import cyclonedx, model_card, openlineage, prov, ro_crate, technical_documentation
from flows.lineage.export.recorded import Recorded
from tasks.contracts.statement import Statement
from tests.conftest import Project
from tests.flows.lineage.export.formats.test_openlineage import conform
from tests.flows.lineage.export.formats.test_prov import one, pairs

pytestmark = pytest.mark.slow

ONE, TWO, ODD = ("/opt/data/words.txt", "a" * 64), ("/opt/data/words.txt", "b" * 64), ("/opt/a|<b> 50%.png", "c" * 64)
READ = {"train": [ONE, ODD], "evaluate": [TWO], "diagnose": [ONE]}
EXTERNAL = {ONE: ["train", "diagnose"], TWO: ["evaluate"], ODD: ["train"]}
OLD = "explain"  # the stage whose statement is of an older version, which names neither goodfit's version nor its code


@pytest.fixture(scope="module")
def outside(recorded: Recorded) -> Recorded:
    """The record, after stages that read files from outside, and one that an older goodfit recorded."""
    stages = dict(recorded.stages)
    for stage in (*READ, OLD):
        document = json.loads((recorded.root / f"lineage/{stage}.json").read_text())
        document["predicate"]["buildDefinition"]["resolvedDependencies"] += [
            {"name": path, "digest": {"sha256": sha256, "md5": "0" * 32}, "annotations": {"undeclared": True}}
            for path, sha256 in READ.get(stage, [])
        ]
        if stage == OLD:
            document["predicate"]["runDetails"]["builder"] = {"id": "urn:goodfit:builder"}
        stages[stage] = Statement.model_validate_json(json.dumps(document))
    return Recorded(recorded.root, stages, recorded.own)


def code_of(recorded: Recorded, stage: str) -> dict[str, str]:
    """The code of the builder as the statement's file lists it."""
    document = json.loads((recorded.root / f"lineage/{stage}.json").read_text())
    listed = document["predicate"]["runDetails"]["builder"]["builderDependencies"]
    return {entry["name"]: entry["digest"]["sha256"] for entry in listed}


def test_the_builder_has_the_digest_that_sha256sum_gives_the_list_of_its_code(recorded: Recorded) -> None:
    builder, code = recorded.builder_of("train"), code_of(recorded, "train")
    printed = Project(recorded.root).run("sh", "-c", 'sha256sum "$@" | sha256sum', "sh", *sorted(code)).stdout
    assert builder.sha256 == printed.split()[0]
    assert (builder.name, builder.files) == ("goodfit 0.1.0", len(code))
    assert "flows/stage.py" in code
    assert sorted(stage for stages in recorded.builders.values() for stage in stages) == sorted(recorded.stages)


def test_prov_has_an_agent_for_each_builder_and_an_entity_for_each_file(outside: Recorded, tmp_path: Path) -> None:
    prov.export(outside, str(tmp_path / "run.json"))
    prov.export(outside, str(tmp_path / "run.provn"))
    found = ProvDocument.deserialize(str(tmp_path / "run.json"))
    assert ProvDocument.deserialize(str(tmp_path / "run.provn"), format="provn") == found
    used = pairs(found, ProvUsage, "activity", "entity")
    external = {pair for pair in used if pair[1].startswith("undeclared/")}
    assert {(stage, entity.split("/")[1]) for stage, entity in external} == {
        (f"stage/{stage}", sha256) for stage, files in READ.items() for _, sha256 in files
    }
    places = {
        (one(entity.get_attribute("prov:location")), one(entity.get_attribute("schema:sha256")))
        for entity in found.get_records(ProvEntity)
        if "undeclared/" in str(entity.identifier)
    }
    assert places == set(EXTERNAL)
    agents = {str(agent.identifier).removeprefix("run:"): agent for agent in found.get_records(ProvAgent)}
    assert len(agents) == len(outside.builders) > 1
    agent_of = dict(pairs(found, ProvAssociation, "activity", "agent"))
    assert agent_of.keys() == {str(activity.identifier).removeprefix("run:") for activity in found.get_records(ProvActivity)}
    train, old = agents[agent_of["stage/train"]], agents[agent_of[f"stage/{OLD}"]]
    assert one(train.get_attribute("schema:sha256")) == outside.builder_of("train").sha256
    assert one(train.get_attribute("schema:softwareVersion")) == "0.1.0"
    assert old.get_attribute("schema:sha256") == set()
    assert one(old.get_attribute("prov:label")) == "goodfit, in a version that is not recorded: no code is named"


def test_the_bill_of_materials_has_both_and_stays_valid(outside: Recorded, tmp_path: Path) -> None:
    cyclonedx.export(outside, str(tmp_path / "bom.json"))
    text = (tmp_path / "bom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    components = json.loads(text)["components"]
    properties = [{each["name"]: each["value"] for each in part.get("properties", [])} for part in components]
    external = {
        (part["name"], part["hashes"][0]["content"]): stated["goodfit:undeclared"].split(", ")
        for part, stated in zip(components, properties, strict=True)
        if "goodfit:undeclared" in stated
    }
    assert external == EXTERNAL
    builders = [
        (part.get("version"), stated["goodfit:builder-of"].split(", "), stated["goodfit:builder-code"])
        for part, stated in zip(components, properties, strict=True)
        if part["type"] == "application"
    ]
    assert builders == [(each.version or None, stages, each.code) for each, stages in outside.builders.items()]
    assert len({part["bom-ref"] for part in components}) == len(components)


def test_each_event_has_its_builder_and_the_external_files(outside: Recorded, tmp_path: Path) -> None:
    openlineage.export(outside, str(tmp_path / "events.jsonl"))
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    for number, event in enumerate(events):
        conform(RunEvent, event, f"event {number}")
    for stage in outside.stages:
        (event,) = (each for each in events if (each["job"]["name"], each["eventType"]) == (stage, "COMPLETE"))
        external = [
            (part["name"], part["facets"]["version"]["datasetVersion"].removeprefix("sha256:"))
            for part in event["inputs"]
            if [(tag["key"], tag["value"]) for tag in part["facets"].get("tags", {}).get("tags", [])]
            == [("undeclared", "true")]
        ]
        assert external == sorted(READ.get(stage, []))
        tags = {tag["key"]: tag["value"] for tag in event["run"]["facets"]["tags"]["tags"]}
        builder = outside.builder_of(stage)
        known = {"builder_version": builder.version, "builder_sha256": builder.sha256} if stage != OLD else {}
        assert tags == {"builder": "goodfit", "builder_files": str(builder.files)} | known


def test_the_crate_names_both_without_a_copy(outside: Recorded) -> None:
    graph = {entity["@id"]: entity for entity in ro_crate.metadata(outside)["@graph"]}
    for stage in outside.stages:
        action = graph[f"#{outside.stage_id(stage)}"]
        read = [graph[each["@id"]] for each in action["object"] if each["@id"].startswith("#undeclared/")]
        assert [(each["name"], each["sha256"]) for each in read] == sorted(READ.get(stage, []))
        needed = [graph[each["@id"]] for each in graph[action["instrument"]["@id"]]["softwareRequirements"]]
        (written_by,) = (each for each in needed if each["name"] == "goodfit")
        assert written_by["softwareVersion"] == ("not recorded" if stage == OLD else "0.1.0")
        assert outside.builder_of(stage).code in written_by["description"]
    assert not any("undeclared" in part["@id"] for part in graph["./"]["hasPart"])


@pytest.mark.parametrize("page", [model_card, technical_documentation])
def test_the_pages_have_a_row_for_each(outside: Recorded, recorded: Recorded, page: Any, tmp_path: Path) -> None:
    page.export(outside, str(tmp_path / "page.md"))
    text = (tmp_path / "page.md").read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(text.partition("\n---\n")[2] if text.startswith("---") else text)
    cells = [token.children for token in tokens if token.type == "inline"]
    contents = ["".join(part.content for part in children or []) for children in cells]
    rows = {
        (name, sha256): stages.split(", ")
        for name, sha256, stages in zip(contents, contents[1:], contents[2:], strict=False)
        if name.startswith("/opt/")
    }
    assert rows == EXTERNAL
    four = {tuple(contents[place : place + 4]) for place in range(len(contents))}
    for builder, stages in outside.builders.items():
        assert (builder.name, str(builder.files), builder.sha256 or "not recorded", ", ".join(stages)) in four
    page.export(recorded, str(tmp_path / "without.md"))
    assert "No stage read a file from outside of the repository, libraries aside" in (tmp_path / "without.md").read_text()
