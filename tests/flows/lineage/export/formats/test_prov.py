"""PROV, read back by the package `prov`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from prov.model import ProvActivity, ProvDocument, ProvEntity, ProvGeneration, ProvUsage

from flows.lineage.export.formats import prov
from flows.lineage.export.recorded import Recorded
from tasks.core.errors import GoodfitError
from tests.conftest import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def document(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> ProvDocument:
    file = tmp_path_factory.mktemp("prov") / "run.json"
    prov.export(recorded, str(file))
    return ProvDocument.deserialize(str(file))


def one(found: Iterable[Any]) -> Any:
    """The only one of a set or a list."""
    (only,) = found
    return only


def pairs(document: ProvDocument, kind: type, first: str, second: str) -> set[tuple[str, str]]:
    """Two of a relation's ends, by their local names."""
    found = set()
    for record in document.get_records(kind):
        ends = {name.localpart: value.localpart for name, value in record.formal_attributes if value is not None}
        found.add((ends[first], ends[second]))
    return found


def test_a_stage_used_its_inputs_and_packages_and_generated_its_outputs(recorded: Recorded, document: ProvDocument) -> None:
    used, generated = set(), set()
    for stage, statement in recorded.stages.items():
        used |= {(f"stage/{stage}", f"file/{path}") for path in statement.inputs}
        used |= {(f"stage/{stage}", uri.removeprefix("pkg:pypi/")) for uri in statement.packages.values()}
        generated |= {(f"file/{path}", f"stage/{stage}") for path in (*statement.outputs, f"lineage/{stage}.json")}
    assert pairs(document, ProvUsage, "activity", "entity") == used
    assert pairs(document, ProvGeneration, "entity", "activity") == generated


def test_entities_have_the_digests_and_activities_the_parameters(recorded: Recorded, document: ProvDocument) -> None:
    placed = [entity for entity in document.get_records(ProvEntity) if entity.get_attribute("prov:location")]
    digests: dict[str, str] = {
        one(entity.get_attribute("prov:location")): one(entity.get_attribute("schema:sha256")) for entity in placed
    }
    assert digests.items() >= {path: digest.sha256 for path, digest in recorded.files.items()}.items()
    assert digests.keys() - recorded.files.keys() == {"dvc.lock"}
    train = one(record for record in document.get_records(ProvActivity) if str(record.identifier) == "run:stage/train")
    assert train.get_attribute("parameter:train.epochs") == {3}
    assert train.get_attribute("parameter:train.model.hidden") == {"[64]"}
    assert train.get_attribute("environment:python") == {recorded.stages["train"].environment["python"]}


def test_the_commit_of_the_lock_is_a_member_of_the_document(recorded: Recorded, document: ProvDocument) -> None:
    assert recorded.commit is not None
    assert f"swh:1:rev:{recorded.commit.id}" in {str(record.identifier) for record in document.get_records(ProvEntity)}


def test_prov_n_says_the_same(recorded: Recorded, document: ProvDocument, tmp_path: Path) -> None:
    prov.export(recorded, str(tmp_path / "run.provn"))
    assert (tmp_path / "run.provn").read_text().startswith("document\n")
    assert ProvDocument.deserialize(str(tmp_path / "run.provn"), format="provn") == document


def test_the_same_record_gives_the_same_bytes_in_another_folder(recorded: Recorded, ran: Project, tmp_path: Path) -> None:
    prov.export(recorded, str(tmp_path / "here.json"))
    printed = ran.run("goodfit", "lineage", "export", "--format", "prov", PYTHONHASHSEED="7").stdout
    assert printed == (tmp_path / "here.json").read_text()


def test_without_the_package_it_names_the_command(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "prov.model", raising=False)
    monkeypatch.setitem(sys.modules, "prov", None)
    with pytest.raises(GoodfitError, match=r"this format needs the package prov, .*: `pip install 'goodfit\[export\]'`"):
        prov.export(recorded, None)
