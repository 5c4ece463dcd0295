"""OpenLineage: the events START and COMPLETE of each stage, and of the run that they belong to, through the transports of its package.

`-o FILE` writes a line for each event, `-o http://host:5000` sends them to a receiver such as Marquez, with the key of the environment
variable OPENLINEAGE_API_KEY where there is one. Jobs and datasets are in the namespace of OPENLINEAGE_NAMESPACE, or else `goodfit`. A
run's id follows from its statement, so that sending twice adds nothing. A dataset is what dvc.lock lists, a folder as one, and what a
stage read undeclared from outside of the repository, with the tag `undeclared`. The goodfit that recorded a stage is in the run's tags.
"""

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lineage.export.write import file_at, put, require
from tasks.core.errors import GoodfitError

if TYPE_CHECKING:
    from flows.lineage.export.recorded import Recorded

TEXT = "OpenLineage's events, into a file of lines or to -o http://HOST:PORT"
PACKAGE = "openlineage-python"
INTEGRATION = "GOODFIT"


def export(recorded: "Recorded", output: str | None) -> None:
    """Write or send the events.

    Raises:
        GoodfitError: the package is not installed, nothing says when a stage ran, or the receiver did not take an event.
    """
    made = list(events(recorded))
    if output is None:
        serde = require(PACKAGE, "openlineage.client.serde").Serde
        put("\n".join(serde.to_json(event) for event in made), None)
    elif output.startswith(("http://", "https://")):
        _send(made, output)
    else:
        _write(made, file_at(output))


def _write(made: list[Any], output: Path) -> None:
    from tasks.core.files import whole

    file = require(PACKAGE, "openlineage.client.transport.file")
    with whole(output) as temporary:
        temporary.unlink(missing_ok=True)
        transport = file.FileTransport(file.FileConfig(log_file_path=str(temporary), append=True))
        for event in made:
            transport.emit(event)


def _send(made: list[Any], url: str) -> None:
    from requests import RequestException

    http = require(PACKAGE, "openlineage.client.transport.http")
    key = os.environ.get("OPENLINEAGE_API_KEY")
    auth = http.ApiKeyTokenProvider({"api_key": key}) if key else http.TokenProvider({})
    transport = http.HttpTransport(http.HttpConfig(url=url, auth=auth))
    try:
        for number, event in enumerate(made):
            try:
                transport.emit(event)
            except RequestException as error:
                raise GoodfitError(
                    f"{url} took {number} of {len(made)} events, and not the next ({error}); sending all again does no harm, as their "
                    "ids stay the same"
                ) from None
    finally:
        transport.close()


def events(recorded: "Recorded") -> Iterator[Any]:
    """The events in an order in which a receiver knows each run before another one names it."""
    event = require(PACKAGE, "openlineage.client.event_v2")
    event.set_producer(f"pkg:pypi/goodfit@{version('goodfit')}")
    times = {stage: recorded.times(stage) for stage in recorded.stages}
    started = min(times.values(), key=lambda each: _moment(each.started)).started
    finished = max(times.values(), key=lambda each: _moment(each.finished)).finished
    parent = {"run": event.Run(str(recorded.id)), "job": event.Job(_namespace(), "pipeline", facets=_type("DAG"))}
    yield event.RunEvent(eventType=event.RunState.START, eventTime=started, **parent)
    for stage, when in times.items():
        parts = _stage(event, recorded, stage)
        yield event.RunEvent(eventType=event.RunState.START, eventTime=when.started, **{**parts, "outputs": []})
        yield event.RunEvent(eventType=event.RunState.COMPLETE, eventTime=when.finished, **parts)
    yield event.RunEvent(eventType=event.RunState.COMPLETE, eventTime=finished, **parent)


def _moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def _namespace() -> str:
    return os.environ.get("OPENLINEAGE_NAMESPACE", "goodfit")


def _stage(event: Any, recorded: "Recorded", stage: str) -> dict[str, Any]:
    from flows.lineage.export.recorded import is_code
    from flows.lineage.lock import read_lock

    locked = read_lock(recorded.root)[stage]
    inputs = {path: md5 for path, md5 in locked.deps.items() if not is_code(path) and not _holds_code(recorded, path)}
    return {
        "run": event.Run(str(recorded.stage_id(stage)), facets=_run_facets(recorded, stage)),
        "job": event.Job(_namespace(), stage, facets=_type("TASK") | _source(recorded, stage)),
        "inputs": [
            *(event.InputDataset(_namespace(), path, facets=_facets(recorded, path, md5)) for path, md5 in inputs.items()),
            *(
                event.InputDataset(_namespace(), path, facets=_external(sha256))
                for path, sha256 in recorded.undeclared_of(stage)
            ),
        ],
        "outputs": [
            event.OutputDataset(_namespace(), path, facets=_facets(recorded, path, md5)) for path, md5 in locked.outs.items()
        ],
    }


def _holds_code(recorded: "Recorded", folder: str) -> bool:
    """A folder such as tasks/core, in which Python's files are."""
    return any(path.startswith(f"{folder}/") for path in recorded.code)


def _facets(recorded: "Recorded", path: str, md5: str) -> dict[str, Any]:
    """The version of a dataset, its SHA-256 or what dvc.lock has for a folder, and its columns; a file with columns is hashed first."""
    from flows.lineage.export.columns import columns

    facet = require(PACKAGE, "openlineage.client.facet_v2")
    digest = recorded.files.get(path)
    stated = f"sha256:{digest.sha256}" if digest else f"md5:{md5}"
    found: dict[str, Any] = {"version": facet.dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=stated)}
    if digest and Path(path).suffix in (".csv", ".parquet", ".safetensors"):
        recorded.check(path)
        fields = [facet.schema_dataset.SchemaDatasetFacetFields(name, kind) for name, kind in columns(recorded.root / path)]
        found["schema"] = facet.schema_dataset.SchemaDatasetFacet(fields=fields)
    return found


def _external(sha256: str) -> dict[str, Any]:
    """Of a file that dvc.yaml does not declare."""
    facet = require(PACKAGE, "openlineage.client.facet_v2")
    tag = facet.tags_dataset.TagsDatasetFacetFields(key="undeclared", value="true", source=INTEGRATION)
    return {
        "version": facet.dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=f"sha256:{sha256}"),
        "tags": facet.tags_dataset.TagsDatasetFacet(tags=[tag]),
    }


def _builder(facet: Any, recorded: "Recorded", stage: str) -> Any:
    """What wrote the statement, as tags: the engine of the run is torch."""
    builder = recorded.builder_of(stage)
    stated = {
        "builder": "goodfit",
        "builder_version": builder.version,
        "builder_files": str(builder.files),
        "builder_sha256": builder.sha256,
    }
    fields = facet.tags_run.TagsRunFacetFields
    return facet.tags_run.TagsRunFacet(
        tags=[fields(key=key, value=value, source=INTEGRATION) for key, value in stated.items() if value]
    )


def _run_facets(recorded: "Recorded", stage: str) -> dict[str, Any]:
    from flows.lineage.statement import flat, shown

    facet = require(PACKAGE, "openlineage.client.facet_v2")
    parent, engine, parameters = facet.parent_run, facet.processing_engine_run, facet.execution_parameters_run
    resolved = flat(recorded.stages[stage].resolved)
    found = {
        "parent": parent.ParentRunFacet(
            run=parent.Run(str(recorded.id)), job=parent.Job(namespace=_namespace(), name="pipeline")
        ),
        "tags": _builder(facet, recorded, stage),
        "executionParameters": parameters.ExecutionParametersRunFacet(
            parameters=[parameters.ExecutionParameter(key=key, value=shown(value)) for key, value in resolved.items()]
        ),
    }
    for package in recorded.packages_of(stage):
        if package.name == "torch":
            found["processing_engine"] = engine.ProcessingEngineRunFacet(version=package.version, name=package.name)
    return found


def _type(kind: str) -> dict[str, Any]:
    job_type = require(PACKAGE, "openlineage.client.facet_v2").job_type_job
    return {"jobType": job_type.JobTypeJobFacet(processingType="BATCH", integration=INTEGRATION, jobType=kind)}


def _source(recorded: "Recorded", stage: str) -> dict[str, Any]:
    """The file of the stage, where the statement names it; the digests of all the code are in the statement, which is an output."""
    file = Path(f"tasks/{stage}.py")
    if file.as_posix() not in recorded.stages[stage].inputs:
        return {}
    source = require(PACKAGE, "openlineage.client.facet_v2").source_code_job
    return {"sourceCode": source.SourceCodeJobFacet(language="Python", sourceCode=recorded.text(file, stage))}
