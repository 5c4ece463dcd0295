"""CycloneDX 1.7: a bill of materials of the model, with its model card, its data and its locked environment.

The format: https://cyclonedx.org/docs/1.7/json. The library that validates it in the tests cannot write model cards, so that this file
writes the JSON. Every digest is from a statement; those of packages are from requirements.lock, where it is the recorded one. There is
no time in it, so that every clone writes the same bytes.
"""

import csv
from collections.abc import Iterator
from importlib.metadata import version
from io import StringIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flows.lineage.export.write import as_json, put

if TYPE_CHECKING:
    from flows.lineage.export.recorded import Recorded
    from tasks.contracts.statement import Digest

TEXT = "CycloneDX 1.7, an ML-BOM with model card, data and locked packages"
SPLITS = ("train", "val", "test")
ALGORITHMS = {"sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512", "md5": "MD5", "sha1": "SHA-1"}


def export(recorded: "Recorded", output: str | None) -> None:
    """Write the bill of materials as JSON."""
    put(as_json(document(recorded)), output)


def document(recorded: "Recorded") -> dict[str, Any]:
    """The bill of materials."""
    model, data, packages = _model(recorded), list(_data(recorded)), list(_packages(recorded))
    trained = [_purl(*package) for package in recorded.packages_of("train")]
    splits = [_split(name) for name in SPLITS]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{recorded.id}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "goodfit", "version": version("goodfit")}]},
            "component": model,
        },
        "components": [*data, *_files(recorded), *_undeclared(recorded), *_builders(recorded), *packages],
        "dependencies": [{"ref": model["bom-ref"], "dependsOn": [*splits, *trained]}],
    }


def _model(recorded: "Recorded") -> dict[str, Any]:
    from tasks.contracts.trained import WEIGHTS

    anchor = {"goodfit:commit": recorded.commit.id} if recorded.commit else {}
    return {
        "type": "machine-learning-model",
        "bom-ref": WEIGHTS.as_posix(),
        "name": recorded.name,
        "version": f"sha256:{recorded.weights.sha256}",
        "hashes": _hashes(recorded.weights),
        "modelCard": {
            "modelParameters": _parameters(recorded),
            "quantitativeAnalysis": {"performanceMetrics": [*_metrics(recorded), *_classes(recorded)]},
            "considerations": {"technicalLimitations": _limitations(recorded)},
        },
        "properties": _properties({"goodfit:file": WEIGHTS.as_posix(), **anchor, **_settings(recorded)}),
    }


def _parameters(recorded: "Recorded") -> dict[str, Any]:
    from flows.lineage.statement import shown

    model = recorded.model
    options = ", ".join(f"{key}={shown(value)}" for key, value in model["model"].items() if key != "name")
    return {
        "approach": {"type": "supervised"},
        "task": "image classification",
        "modelArchitecture": f"{model['model']['name']}({options})",
        "datasets": [{"ref": _split(name)} for name in SPLITS],
        "inputs": [{"format": f"uint8 images of shape {shown(model['shape'])} (channels, height, width)"}],
        "outputs": [{"format": f"logits of {len(model['classes'])} classes: {', '.join(model['classes'])}"}],
    }


def _settings(recorded: "Recorded") -> dict[str, str]:
    """What the model was trained with, and what the diagnosis says of it."""
    from flows.lineage.statement import flat, shown

    train, diagnosis = recorded.statement("train"), recorded.diagnosis
    known = f"sha256:{train.requirements.sha256}" if train.requirements else "none"
    lock = known if _lock(recorded) is not None else f"{known}, which is not at hand: packages have no digests"
    return {
        "goodfit:requirements.lock": lock,
        "goodfit:verdict": diagnosis.verdict,
        **{f"goodfit:check:{finding.code}": finding.status for finding in diagnosis.findings},
        **{f"goodfit:parameter:{key}": shown(value) for key, value in flat(train.resolved).items()},
        **{f"goodfit:environment:{key}": shown(value) for key, value in train.environment.items()},
    }


def _metrics(recorded: "Recorded") -> Iterator[dict[str, Any]]:
    from flows.lineage.export.sections import metric_names

    values = recorded.evaluation
    for name in metric_names(recorded):
        slice_ = f"test: {values['n']} images, scored with {recorded.scored}"
        yield _metric(name, slice_, repr(values[name]), *(values.get(f"{name}_ci_{end}") for end in ("low", "high")))


def _classes(recorded: "Recorded") -> Iterator[dict[str, Any]]:
    """The recall of each class."""
    from tasks.contracts.results import PER_CLASS

    for row in csv.DictReader(StringIO(recorded.text(PER_CLASS, "evaluate"))):
        slice_ = f"test: {row['n']} images of class {row['class']}, scored with {recorded.scored}"
        if row["recall"]:  # empty for a class without test images
            yield _metric("recall", slice_, row["recall"], row["recall_ci_low"] or None, row["recall_ci_high"] or None)


def _metric(name: str, slice_: str, value: str, low: object, high: object) -> dict[str, Any]:
    interval = {"confidenceInterval": {"lowerBound": str(low), "upperBound": str(high)}} if None not in (low, high) else {}
    return {"type": name, "value": value, "slice": slice_, **interval}


def _limitations(recorded: "Recorded") -> list[str]:
    """The verdict's sentence, and every check that raised a flag or could not tell."""
    diagnosis = recorded.diagnosis
    found = [f"{each.title}: {each.summary}" for each in diagnosis.findings if each.status in ("flag", "inconclusive")]
    return [f"Verdict {diagnosis.verdict.replace('_', ' ')}: {diagnosis.headline}", *found]


def _data(recorded: "Recorded") -> Iterator[dict[str, Any]]:
    """The splits, and what was downloaded, whose files are parts of it."""
    processed = recorded.statement("preprocess").outputs
    for name in SPLITS:
        count = sum(recorded.dataset["counts"].get(name, []))
        yield _dataset(_split(name), {"goodfit:split": name, "goodfit:images": str(count)}, processed[_split(name)])
    raw = recorded.statement("download").outputs
    parts = [{"type": "file", "bom-ref": path, "name": path, "hashes": _hashes(digest)} for path, digest in raw.items()]
    yield {**_dataset(recorded.dataset["name"], {"goodfit:stage": "download"}, None), "components": parts}


def _dataset(name: str, properties: dict[str, str], digest: "Digest | None") -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": name if digest else f"dataset/{name}",
        "name": name,
        **({"hashes": _hashes(digest)} if digest else {}),
        "data": [{"type": "dataset", "name": name}],
        "properties": _properties(properties),
    }


def _split(name: str) -> str:
    return f"data/processed/{name}.safetensors"


def _files(recorded: "Recorded") -> Iterator[dict[str, Any]]:
    """What lies beside the weights, the smaller models included, and the code of the training."""
    from flows.lineage.export.recorded import is_code
    from tasks.contracts.trained import WEIGHTS

    written = {path: digest for path, digest in recorded.files.items() if path in recorded.writers}
    beside = {path: digest for path, digest in written.items() if path.startswith("models/") and path != WEIGHTS.as_posix()}
    code = {path: digest for path, digest in recorded.statement("train").inputs.items() if is_code(path)}
    for path, digest in (beside | code).items():
        yield {"type": "file", "bom-ref": path, "name": path, "hashes": _hashes(digest)}


def _undeclared(recorded: "Recorded") -> Iterator[dict[str, Any]]:
    """What a stage read from outside of the repository."""
    for (path, sha256), stages in recorded.undeclared.items():
        yield {
            "type": "file",
            "bom-ref": f"undeclared/{sha256}/{path}",
            "name": path,
            "hashes": [{"alg": "SHA-256", "content": sha256}],
            "properties": _properties({"goodfit:undeclared": ", ".join(stages)}),
        }


def _builders(recorded: "Recorded") -> Iterator[dict[str, Any]]:
    """What wrote the statements; a hash of a component would be that of one file, so that the digest of its code is a property."""
    for builder, stages in recorded.builders.items():
        yield {
            "type": "application",
            "bom-ref": f"builder/{builder.version}/{builder.sha256}",
            "name": "goodfit",
            **({"version": builder.version} if builder.version else {}),
            "properties": _properties({"goodfit:builder-of": ", ".join(stages), "goodfit:builder-code": builder.code}),
        }


def _packages(recorded: "Recorded") -> Iterator[dict[str, Any]]:
    """The locked packages, and those that the statements name; the latter alone where requirements.lock is another one since."""
    from flows.lineage.export.requirements import Requirement, read_requirements

    text = _lock(recorded)
    found = {_purl(each.name, each.version): each for each in (read_requirements(text) if text is not None else [])}
    used = {_purl(*package): Requirement(*package, None) for package in recorded.packages}
    for purl, each in sorted((used | found).items()):
        yield _package(each, used=purl in used)


def _lock(recorded: "Recorded") -> str | None:
    """The text of requirements.lock, if it locks what was recorded."""
    from flows.lineage.packages import locked_digest
    from tasks.contracts.statement import REQUIREMENTS

    lock, digest = recorded.root / REQUIREMENTS, recorded.statement("train").requirements
    same = digest is not None and locked_digest(recorded.root) == digest
    return lock.read_text(encoding="utf-8") if same else None


def _package(each: Any, *, used: bool) -> dict[str, Any]:
    purl = _purl(each.name, each.version)
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": each.name,
        "version": each.version,
        "purl": purl,
        "scope": "required" if used or each.marker is None else "optional",
    }
    if each.hashes:
        hashes = [{"alg": ALGORITHMS[algorithm], "content": content} for algorithm, content in each.hashes]
        files = "the digest of each file that requirements.lock allows"
        found["externalReferences"] = [{"type": "distribution", "url": purl, "comment": files, "hashes": hashes}]
    if each.marker:
        found["properties"] = _properties({"goodfit:marker": each.marker})
    return found


def _purl(name: str, number: str) -> str:
    return f"pkg:pypi/{name}@{quote(number)}"


def _hashes(digest: "Digest") -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.sha256}, {"alg": "MD5", "content": digest.md5}]


def _properties(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
