"""Files whose names would break out of a format: they stay names."""

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from prov.model import ProvDocument, ProvEntity

from flows.lineage.export.formats import cyclonedx, model_card, openlineage, prov, ro_crate
from flows.lineage.export.recorded import Recorded
from tasks.contracts.statement import Statement

pytestmark = pytest.mark.slow

NAMES = ('a\nb|<b>"é\u202e\\.png', "(x),y=z;[1]'`{}.png", " 50%.png", "#1?.png")


@pytest.fixture(scope="module")
def odd(recorded: Recorded) -> Recorded:
    """The record, with more files in what was downloaded."""
    document = json.loads((recorded.root / "lineage/download.json").read_text())
    document["subject"] += [document["subject"][0] | {"name": f"data/raw/{name}"} for name in NAMES]
    download = Statement.model_validate_json(json.dumps(document))
    return Recorded(recorded.root, {**recorded.stages, "download": download}, recorded.own)


def test_prov_reads_the_same_names_from_both_of_its_forms(odd: Recorded, tmp_path: Path) -> None:
    for name in ("run.json", "run.provn"):
        prov.export(odd, str(tmp_path / name))
    found = ProvDocument.deserialize(str(tmp_path / "run.json"))
    assert ProvDocument.deserialize(str(tmp_path / "run.provn"), format="provn") == found
    places = {str(place) for entity in found.get_records(ProvEntity) for place in entity.get_attribute("prov:location")}
    assert places >= {f"data/raw/{name}" for name in NAMES}


def test_the_bill_of_materials_stays_valid(odd: Recorded, tmp_path: Path) -> None:
    cyclonedx.export(odd, str(tmp_path / "bom.json"))
    text = (tmp_path / "bom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    parts = [part["name"] for component in json.loads(text)["components"] for part in component.get("components", [])]
    assert set(parts) >= {f"data/raw/{name}" for name in NAMES}


def test_the_page_of_the_model_has_one_row_for_each_and_no_markup_of_theirs(odd: Recorded, tmp_path: Path) -> None:
    model_card.export(odd, str(tmp_path / "README.md"))
    text = ModelCard.load(tmp_path / "README.md").text
    assert "\u202e" not in text
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = {part.type for token in tokens for part in token.children or []}
    assert kinds <= {"text", "text_special", "softbreak", "code_inline", "strong_open", "strong_close"}
    cells = [token.content for token in tokens if token.type == "inline"]
    assert sum("data/raw/" in cell for cell in cells) == len(NAMES) + 1


def test_events_and_crate_name_the_folder_alone(odd: Recorded) -> None:
    assert "50%" not in json.dumps(ro_crate.metadata(odd))
    (raw,) = next(event.outputs for event in openlineage.events(odd) if event.job.name == "download" and event.outputs)[1:]
    assert raw.name == "lineage/download.json"
