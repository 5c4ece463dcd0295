"""A Process Run Crate 0.5: a folder or zip with the files of the record, and what each stage did with them in ro-crate-metadata.json.

Specification: https://www.researchobject.org/workflow-run-crate/profiles/process_run_crate on top of RO-Crate 1.1. A file is hashed
while it is copied. What dvc.lock lists as a folder is one entity; the statements, which are in the crate, have the digest of each of
its files. A file from outside of the repository is below `%2F/` or `%2E%2E/`, as in a bundle.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tasks.core.errors import GoodfitError

if TYPE_CHECKING:
    from flows.lineage.export.recorded import Builder, Recorded, Undeclared

TEXT = "RO-Crate (Process Run Crate) with the files: -o FOLDER or -o FILE.zip"
METADATA = "ro-crate-metadata.json"
LICENSE = "#license"  # RO-Crate requires one
PROFILE, VERSION = "https://w3id.org/ro/wfrun/process/0.5", "0.5"
# RO-Crate's own context of version 1.1 is older than this term.
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]
MEDIA = {  # not those of the machine's tables, which differ
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".npz": "application/zip",
    ".onnx": "application/octet-stream",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".py": "text/x-python",
    ".safetensors": "application/octet-stream",
}


def export(recorded: "Recorded", output: str | None) -> None:
    """Write the crate.

    Raises:
        GoodfitError: no output is given, there is something already, or a file is not the one that was recorded.
    """
    from flows.lineage.export.crates import write_crate
    from flows.lineage.lock import LOCK_FILE, read_lock
    from flows.lineage.outputs import require_free
    from flows.lineage.signing.auditor import place

    if output is None or "://" in output:
        raise GoodfitError("a crate is a folder or a zip: name it with `-o FOLDER` or `-o FILE.zip`")
    require_free(Path(output))
    files: dict[str, tuple[Path, str | None]] = {
        place(path): (recorded.root / path, digest.sha256) for path, digest in recorded.files.items()
    }
    files[LOCK_FILE] = (recorded.root / LOCK_FILE, None)
    text = json.dumps(metadata(recorded), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    lock = read_lock(recorded.root)
    listed = {path for stage in recorded.stages for path in (*lock[stage].deps, *lock[stage].outs)}
    write_crate(Path(output), files, {METADATA: text.encode()}, {place(path) for path in listed - recorded.files.keys()})


def metadata(recorded: "Recorded") -> dict[str, Any]:
    """The document in ro-crate-metadata.json."""
    from flows.lineage.lock import LOCK_FILE, read_lock

    lock = read_lock(recorded.root)
    own = {"@id": LOCK_FILE, "@type": "File", "name": LOCK_FILE, "encodingFormat": "application/yaml"}
    parts: dict[str, dict[str, Any]] = {LOCK_FILE: own}
    for stage in recorded.stages:
        parts |= {path: _part(recorded, path, md5) for path, md5 in (lock[stage].deps | lock[stage].outs).items()}
    for stage in recorded.stages:
        _make_instrument(recorded, stage, parts)
    actions = [action for stage in recorded.stages for action in _action(recorded, stage, lock[stage], parts)]
    packages = [_package(name, version) for name, version in recorded.packages]
    others = [*map(_builder, recorded.builders), *(_external(file, stages) for file, stages in recorded.undeclared.items())]
    graph = [*_root(recorded, list(parts.values())), *parts.values(), *actions, *others, *packages]
    return {"@context": CONTEXT, "@graph": graph}


def _root(recorded: "Recorded", parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    published = recorded.commit.date if recorded.commit else max(recorded.times(stage).finished for stage in recorded.stages)
    anchor = f" Git recorded it in commit {recorded.commit.id}." if recorded.commit else ""
    yield {
        "@id": METADATA,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    yield {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": {"@id": PROFILE},
        "name": f"A recorded run of the stages {', '.join(recorded.stages)}",
        "description": f"What each stage read and wrote, as its statement in lineage/ records it.{anchor}",
        "datePublished": published,
        "license": {"@id": LICENSE},
        "hasPart": [{"@id": part["@id"]} for part in parts if not part["@id"].startswith("#")],
        "mentions": [{"@id": _run(recorded, stage)} for stage in recorded.stages],
    }
    yield {
        "@id": LICENSE,
        "@type": "CreativeWork",
        "name": "Not recorded",
        "description": "The record does not say under which license its data, code and model may be used.",
    }
    yield {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": VERSION}


def _part(recorded: "Recorded", path: str, md5: str) -> dict[str, Any]:
    from flows.lineage.signing.auditor import place

    digest = recorded.files.get(path)
    if digest is None:  # a folder
        listed = f"DVC's MD5 of the list of its files: {md5}"
        return {"@id": f"{quote(place(path))}/", "@type": "Dataset", "name": path, "description": listed}
    found = {"@id": quote(place(path)), "@type": "File", "name": path, "sha256": digest.sha256}
    found |= {"contentSize": str((recorded.root / path).stat().st_size)} if (recorded.root / path).exists() else {}
    return found | ({"encodingFormat": MEDIA[Path(path).suffix]} if Path(path).suffix in MEDIA else {})


def _make_instrument(recorded: "Recorded", stage: str, parts: dict[str, dict[str, Any]]) -> None:
    """The stage's own file is the tool; where dvc.lock lists none, its command is."""
    statement, file = recorded.stages[stage], f"tasks/{stage}.py"
    found = parts.setdefault(file, {"@id": f"#tool/{stage}"})
    found |= {
        "@type": ["File", "SoftwareSourceCode"] if "sha256" in found else "SoftwareSourceCode",
        "name": statement.command,
        "version": found.get("sha256", "not recorded"),
        "programmingLanguage": "Python",
        "runtimePlatform": ", ".join(f"{key} {value}" for key, value in statement.environment.items()),
        "softwareRequirements": [
            {"@id": _builder_id(recorded.builder_of(stage))},
            *({"@id": _package_id(name, version)} for name, version in recorded.packages_of(stage)),
        ],
    }


def _action(recorded: "Recorded", stage: str, locked: Any, parts: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    from flows.lineage.statement import flat, shown

    run, times = _run(recorded, stage), recorded.times(stage)
    values = [
        {"@id": f"{run}/{quote(key)}", "@type": "PropertyValue", "name": key, "value": shown(value)}
        for key, value in flat(recorded.stages[stage].resolved).items()
    ]
    read = [parts[path]["@id"] for path in locked.deps if path != f"tasks/{stage}.py"]
    read += [_external_id(file) for file in recorded.undeclared_of(stage)]
    yield {
        "@id": run,
        "@type": "CreateAction",
        "name": f"Stage {stage}",
        "description": f"{recorded.stages[stage].command}. Its times are those of the {times.source}.",
        "instrument": {"@id": parts[f"tasks/{stage}.py"]["@id"]},
        "object": [{"@id": each} for each in (*read, *(value["@id"] for value in values))],
        "result": [{"@id": parts[path]["@id"]} for path in locked.outs],
        "startTime": times.started,
        "endTime": times.finished,
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    yield from values


def _run(recorded: "Recorded", stage: str) -> str:
    return f"#{recorded.stage_id(stage)}"


def _builder_id(builder: "Builder") -> str:
    return f"#goodfit/{quote(builder.version)}/{builder.sha256}"


def _builder(builder: "Builder") -> dict[str, Any]:
    """The goodfit that ran and recorded a stage."""
    return {
        "@id": _builder_id(builder),
        "@type": "SoftwareApplication",
        "name": "goodfit",
        "softwareVersion": builder.version or "not recorded",
        "description": f"It ran the stages and wrote their statements: {builder.code}.",
    }


def _external_id(file: "Undeclared") -> str:
    return f"#undeclared/{file.sha256}/{quote(file.path)}"


def _external(file: "Undeclared", stages: list[str]) -> dict[str, Any]:
    """A file that is not in the crate: what it held is known by its digest alone."""
    return {
        "@id": _external_id(file),
        "@type": "CreativeWork",
        "name": file.path,
        "sha256": file.sha256,
        "description": f"Outside of the repository and not declared in dvc.yaml; read by {', '.join(stages)}. It is not in this crate.",
    }


def _package_id(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{quote(version)}"


def _package(name: str, version: str) -> dict[str, Any]:
    return {"@id": _package_id(name, version), "@type": "SoftwareApplication", "name": name, "softwareVersion": version}
