"""A stage's statement: what it made, and from what. An in-toto Statement v1 with the SLSA provenance v1 predicate.

It holds no time, host, user or run, so that the same inputs in the same environment give the same bytes. The Git commit is not in
it either: it would change the bytes with every commit; the digests of the code say more, and the journal has the commit.

What computes is tasks/: each file of it that ran is an input with its digests. What decides and records is flows/: each file of it that
ran in the stage's process is listed as the builder's, so that an auditor sees which code wrote the statement. An edit under flows/ runs
no stage again; it changes the statement of the next run. docs/reference/statement.md describes every field.
"""

import json
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from flows.declaration import Declaration
from flows.lineage.digest import digest_paths
from flows.lineage.packages import locked_digest, record_digest
from tasks.contracts.statement import DIGEST_OF, FOLDER, REQUIREMENTS, RESOLVED, UNDECLARED, VARIABLES, Digest
from tasks.core.files import write_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
# Version 1 had no digests of packages and no files of the builder; tasks/contracts/statement.py reads both.
BUILD_TYPE = "urn:goodfit:stage:v2"
LOCKED = "the locked names, versions, markers and hashes, sorted; not the text of the file"


def statement_path(stage: str) -> Path:
    return FOLDER / f"{stage}.json"


def write_statement(
    root: Path,
    declared: Declaration,
    inputs: Mapping[str, Digest],
    params: dict[str, Any],
    resolved: dict[str, Any],
    *,
    variables: Mapping[str, str],
    undeclared: Mapping[str, Digest],
    builder: Mapping[str, Digest],
    packages: Iterable[str],
) -> None:
    """Write `lineage/<stage>.json` for the outputs that now lie in the workspace.

    Args:
        root: the repository.
        declared: the stage as dvc.yaml has it.
        inputs: the digest of every input file and of every .dvcignore that counts, as sealed before the stage ran.
        params: the parameters that the stage depends on, as sealed.
        resolved: the same with the default of every option that is not stated.
        variables: the environment variables that can change a bit, as they were before the stage ran.
        undeclared: the digest of every file outside of the repository that the stage read or ran, and that nothing declares.
        builder: the digest of every file of goodfit itself that ran.
        packages: the installed distributions whose arithmetic or file formats reach the outputs.
    """
    own = statement_path(declared.name)
    outputs = digest_paths(root, (name for name in declared.outs if name != own.as_posix()))
    dependencies = [*_resources(inputs), *_requirements(root), *_packages(packages)]
    dependencies += [entry | {"annotations": {UNDECLARED: True}} for entry in _resources(undeclared)]
    write_json(
        root / own,
        {
            "_type": STATEMENT_TYPE,
            "subject": [*_resources(outputs)],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {"stage": declared.name, "command": declared.command, "parameters": params},
                    "internalParameters": environment(resolved, variables, computes=_computed(declared)) | {RESOLVED: resolved},
                    "resolvedDependencies": dependencies,
                },
                "runDetails": {
                    "builder": {
                        "id": "urn:goodfit:builder",
                        "builderDependencies": [*_resources(builder)],
                        "version": {"goodfit": version("goodfit")},
                    }
                },
            },
        },
    )


def flat(params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value under its whole key: `train.optimizer.name`."""
    lines: dict[str, Any] = {}
    for key, value in params.items():
        lines |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return lines


def shown(value: Any) -> str:
    """A parameter's value as params.yaml would state it: `true`, `null`, a text without quotation marks."""
    if isinstance(value, str | date):
        return value if isinstance(value, str) else value.isoformat()
    return json.dumps(value, ensure_ascii=False, default=iso)


def iso(value: Any) -> str:
    """A date or time as text, for `json.dumps`: YAML reads `2020-01-01` as a date, which JSON does not have."""
    return value.isoformat() if isinstance(value, date) else str(value)


def _computed(declared: Declaration) -> bool:
    """Whether the stage can compute with torch and did: `compress` without a method does not, and need not wait for torch's import."""
    return "threads" in declared.params and "torch" in sys.modules


def environment(resolved: dict[str, Any], variables: Mapping[str, str], *, computes: bool) -> dict[str, Any]:
    """What else decides the bits; a stage that computes with torch also names the CPU's instruction set, which torch chooses by.

    Only training has a device and a precision to choose; the other stages compute on the CPU in 32 bits.
    """
    found: dict[str, Any] = {"python": platform.python_version(), "platform": f"{platform.system()}-{platform.machine()}"}
    if computes:
        import torch

        training = resolved.get("train", {})
        found |= {
            **(_device(training["device"]) if training else {"device": "cpu"}),
            "precision": training.get("precision", "32-true"),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
    return found | ({VARIABLES: dict(variables)} if variables else {})


def _device(stated: Literal["auto", "cpu", "cuda"]) -> dict[str, Any]:
    from tasks.learning import device  # code of the stage that trains, and of no other

    chosen = device.choose(stated)
    return {"device": chosen.type, **device.libraries(chosen)}


def _resources(files: Mapping[str, Digest]) -> Iterator[dict[str, Any]]:
    for name, digest in files.items():
        yield {"name": name, "digest": {"sha256": digest.sha256, "md5": digest.md5}}


def _requirements(root: Path) -> Iterator[dict[str, Any]]:
    locked = locked_digest(root)
    if locked:
        for entry in _resources({REQUIREMENTS: locked}):
            yield entry | {"annotations": {DIGEST_OF: LOCKED}}


def _packages(names: Iterable[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        entry: dict[str, Any] = {"name": name, "uri": f"pkg:pypi/{name}@{version(name)}"}
        sha256 = record_digest(name)
        yield entry | {"digest": {"sha256": sha256}} if sha256 else entry
