"""OpenLineage's events, sent to a real receiver, and read back by what OpenLineage publishes.

The package's classes are generated from the official JSON schemas and are always asked. The schemas themselves are in no package: where
the environment variable OPENLINEAGE_SPEC names the folder `spec` of a checkout of OpenLineage, they are asked as well.
"""

import json
import os
import sys
import types
from collections.abc import Iterator
from enum import Enum
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from threading import Thread
from typing import Any, Union, get_args, get_origin, get_type_hints

import attr
import pytest
from openlineage.client import generated
from openlineage.client.event_v2 import RunEvent

from flows.lineage.export.formats import openlineage
from flows.lineage.export.recorded import Recorded
from flows.lineage.lock import read_lock
from tasks.core.errors import GoodfitError
from tests.conftest import STAGES, Project

pytestmark = pytest.mark.slow


class Receiver(HTTPServer):
    """Takes events as Marquez does, until it is told to refuse."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posted: list[tuple[str, str | None, dict[str, Any]]] = []
        self.accepts = 10_000


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        accepted = len(self.server.posted) < self.server.accepts
        if accepted:
            self.server.posted.append((self.path, self.headers.get("Authorization"), json.loads(body)))
        self.send_response(201 if accepted else 422)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def events(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    file = tmp_path_factory.mktemp("openlineage") / "events.jsonl"
    openlineage.export(recorded, str(file))
    return [json.loads(line) for line in file.read_text().splitlines()]


def facets_of(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    places = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    yield from (facet for place in places for facet in place.get("facets", {}).values())


def of_stage(events: list[dict[str, Any]], stage: str) -> list[dict[str, Any]]:
    return [event for event in events if event["job"]["name"] == stage]


SCHEMAS = {
    kind._get_schema(): kind
    for module in iter_modules(generated.__path__)
    for kind in vars(import_module(f"{generated.__name__}.{module.name}")).values()
    if isinstance(kind, type) and hasattr(kind, "_get_schema")
}


def conform(kind: Any, value: Any, place: str) -> None:
    """Fail unless the JSON `value` has the fields and types of one of the package's classes, and no other."""
    if isinstance(value, dict) and "_schemaURL" in value:
        kind = SCHEMAS[value["_schemaURL"]]  # a facet's own class instead of the general one
    options = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if value is None or type(None) in options:
        assert type(None) in options, place
        if value is None:
            return
        (kind,) = (option for option in options if option is not type(None))
    if get_origin(kind) is list:
        for number, item in enumerate(value):
            conform(get_args(kind)[0], item, f"{place}[{number}]")
    elif get_origin(kind) is dict:
        for name, item in value.items():
            conform(get_args(kind)[1], item, f"{place}.{name}")
    elif isinstance(kind, type) and issubclass(kind, Enum):
        kind(value)
    elif attr.has(kind):
        known = {name: each for base in reversed(kind.__mro__) for name, each in vars(sys.modules[base.__module__]).items()}
        hints = get_type_hints(kind, known)
        fields = {field.name: field for field in attr.fields(kind)}
        assert value.keys() <= fields.keys(), place
        required = {name for name, field in fields.items() if field.default is attr.NOTHING}
        assert required <= value.keys(), place
        for name, item in value.items():
            conform(hints[name], item, f"{place}.{name}")
    else:
        assert isinstance(value, kind), f"{place}: {value!r} is no {kind}"


def test_every_event_conforms_to_the_classes_of_the_package(events: list[dict[str, Any]]) -> None:
    for number, event in enumerate(events):
        assert event["schemaURL"] == RunEvent._get_schema()
        conform(RunEvent, event, f"event {number}")
    with pytest.raises(AssertionError, match=r"event\.run"):
        conform(RunEvent, events[1] | {"run": events[1]["run"] | {"other": 1}}, "event")


@pytest.mark.skipif("OPENLINEAGE_SPEC" not in os.environ, reason="OPENLINEAGE_SPEC names no folder `spec` of OpenLineage")
def test_every_event_and_facet_is_valid_by_the_official_schemas(events: list[dict[str, Any]]) -> None:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    folder = Path(os.environ["OPENLINEAGE_SPEC"])

    def read(uri: str) -> "Resource[Any]":
        """Of any version: a checkout has one of each."""
        return Resource.from_contents(json.loads(next(folder.rglob(uri.rpartition("/")[2])).read_text()))

    registry: Registry[Any] = Registry(retrieve=read)  # type: ignore[call-arg]
    for event in events:
        for part, url in [(event, event["schemaURL"]), *((facet, facet["_schemaURL"]) for facet in facets_of(event))]:
            checker = Draft202012Validator({"$ref": url}, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)
            assert [error.message for error in checker.iter_errors(part)] == [], url


def test_each_stage_and_the_whole_run_start_and_complete(recorded: Recorded, events: list[dict[str, Any]]) -> None:
    for stage in STAGES:
        start, complete = of_stage(events, stage)
        assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
        times = recorded.times(stage)
        assert (start["eventTime"], complete["eventTime"]) == (times.started, times.finished)
        assert start["run"] == complete["run"]
        parent = start["run"]["facets"]["parent"]
        assert (parent["run"]["runId"], parent["job"]["name"]) == (events[0]["run"]["runId"], "pipeline")
    first, last = of_stage(events, "pipeline")
    assert (events[0], events[-1]) == (first, last)
    assert (first["eventTime"], last["eventTime"]) == (recorded.times("download").started, recorded.times("gates").finished)
    assert len(events) == 2 * len(STAGES) + 2
    assert len({event["run"]["runId"] for event in events}) == len(STAGES) + 1


def test_datasets_are_those_of_the_lock_with_their_versions(recorded: Recorded, events: list[dict[str, Any]]) -> None:
    for stage, locked in read_lock(recorded.root).items():
        event = of_stage(events, stage)[1]
        versions = {part["name"]: part["facets"]["version"]["datasetVersion"] for part in (*event["inputs"], *event["outputs"])}
        data = {path: md5 for path, md5 in (locked.deps | locked.outs).items() if not path.startswith("tasks/")}
        expected = {
            path: f"sha256:{recorded.files[path].sha256}" if path in recorded.files else f"md5:{md5}"
            for path, md5 in data.items()
        }
        assert versions == expected
    assert any(version.endswith(".dir") for version in versions.values()) is False
    raw = of_stage(events, "download")[1]["outputs"][0]
    assert (raw["name"], raw["facets"]["version"]["datasetVersion"][-4:]) == ("data/raw", ".dir")


def test_schema_source_and_parameters_are_facets(recorded: Recorded, events: list[dict[str, Any]]) -> None:
    event = of_stage(events, "evaluate")[1]
    fields = {part["name"]: part["facets"]["schema"]["fields"] for part in event["outputs"] if "schema" in part["facets"]}
    assert [field["name"] for field in fields["results/per_class.csv"]][:3] == ["class", "n", "correct"]
    assert {"name": "predicted", "type": "int64", "fields": []} in fields["results/predictions.parquet"]
    (test,) = (part for part in event["inputs"] if part["name"] == "data/processed/test.safetensors")
    assert test["facets"]["schema"]["fields"][0] == {"name": "images", "type": "U8[539, 1, 8, 8]", "fields": []}
    assert event["job"]["facets"]["sourceCode"]["sourceCode"] == (recorded.root / "tasks/evaluate.py").read_text()
    train = of_stage(events, "train")[1]["run"]["facets"]
    parameters = {each["key"]: each["value"] for each in train["executionParameters"]["parameters"]}
    assert (parameters["train.epochs"], parameters["train.model.hidden"]) == ("3", "[64]")
    assert train["processing_engine"]["version"] == dict(recorded.packages)["torch"]


def test_a_receiver_gets_the_events_with_the_key(
    recorded: Recorded, events: list[dict[str, Any]], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "secret")
    openlineage.export(recorded, f"http://127.0.0.1:{receiver.server_port}")
    assert [event for _, _, event in receiver.posted] == events
    assert {(path, key) for path, key, _ in receiver.posted} == {("/api/v1/lineage", "Bearer secret")}


def test_a_receiver_that_refuses_is_told_with_how_many_it_took(recorded: Recorded, receiver: Receiver) -> None:
    receiver.accepts = 3
    with pytest.raises(GoodfitError, match=r"took 3 of \d+ events, and not the next \(422 .*sending all again does no harm"):
        openlineage.export(recorded, f"http://127.0.0.1:{receiver.server_port}")


def test_another_address_and_a_folder_are_refused(recorded: Recorded, tmp_path: Path) -> None:
    for output, reason in (("ftp://127.0.0.1/events", "is an address"), (str(tmp_path), "is a folder")):
        with pytest.raises(GoodfitError, match=reason):
            openlineage.export(recorded, output)


def test_the_same_record_gives_the_same_events_in_another_folder(
    ran: Project, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    printed = ran.run("goodfit", "lineage", "export", "--format", "openlineage", PYTHONHASHSEED="7").stdout
    assert [json.loads(line) for line in printed.splitlines()] == events
    named = ran.run("goodfit", "lineage", "export", "--format", "openlineage", OPENLINEAGE_NAMESPACE="mine").stdout
    assert {json.loads(line)["job"]["namespace"] for line in named.splitlines()} == {"mine"}
    (ran.root / ".dvc/tmp/goodfit/journal.jsonl").unlink()
    ran.run("goodfit", "lineage", "export", "--format", "openlineage", "-o", str(tmp_path / "events.jsonl"))
    times = {json.loads(line)["eventTime"] for line in (tmp_path / "events.jsonl").read_text().splitlines()}
    assert times == {ran.run("git", "log", "-1", "--format=%cI", "--", "dvc.lock").stdout.strip()}


def test_code_that_was_edited_since_is_refused(ran: Project, tmp_path: Path) -> None:
    path = ran.root / "tasks/train.py"
    path.write_text(path.read_text() + "\n# edited\n")
    done = ran.run("goodfit", "lineage", "export", "--format", "openlineage", "-o", str(tmp_path / "events.jsonl"), check=False)
    assert done.returncode == 1
    assert "tasks/train.py has sha256" in done.stderr
    assert not (tmp_path / "events.jsonl").exists()
