"""A stage's statement: what it made, and from what. An in-toto Statement v1 with the SLSA provenance v1 predicate.

It holds no time, host, user or run, so that the same inputs in the same environment give the same bytes. The Git commit is not in
it either: it would change the bytes with every commit; the digests of the code say more, and the journal has the commit. For the
same reason the builder is goodfit's version without a digest: every edit under flows/, which decides and records but computes nothing,
would give every statement other bytes, and dvc.lock with them. What computes is tasks/: each file of it is an input with its digests.
"""

import json
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flows.declaration import Declaration
from flows.lineage.digest import digest_paths
from tasks.contracts.statement import FOLDER, REQUIREMENTS, RESOLVED, Digest
from tasks.core.files import write_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:goodfit:stage:v1"
# The packages whose arithmetic or file formats reach the outputs.
PACKAGES = (
    "captum",
    "jinja2",
    "markupsafe",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "pillow",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torch",
    "torchvision",
)


def statement_path(stage: str) -> Path:
    return FOLDER / f"{stage}.json"


def write_statement(
    root: Path, declared: Declaration, inputs: dict[str, Digest], params: dict[str, Any], resolved: dict[str, Any]
) -> None:
    """Write `lineage/<stage>.json` for the outputs that now lie in the workspace.

    Args:
        root: the repository.
        declared: the stage as dvc.yaml has it.
        inputs: the digest of every input file, as sealed before the stage ran.
        params: the parameters that the stage depends on, as sealed.
        resolved: the same with the default of every option that is not stated.
    """
    own = statement_path(declared.name)
    outputs = digest_paths(root, (name for name in declared.outs if name != own.as_posix()))
    write_json(
        root / own,
        {
            "_type": STATEMENT_TYPE,
            "subject": [_resource(name, digest) for name, digest in outputs.items()],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {"stage": declared.name, "command": declared.command, "parameters": params},
                    "internalParameters": environment(resolved, computes=_computed(declared)) | {RESOLVED: resolved},
                    "resolvedDependencies": [_resource(name, digest) for name, digest in inputs.items()]
                    + _packages(root, resolved),
                },
                "runDetails": {"builder": {"id": "urn:goodfit:builder", "version": {"goodfit": version("goodfit")}}},
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
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _computed(declared: Declaration) -> bool:
    """Whether the stage can compute with torch and did: `compress` without a method does not, and need not wait for torch's import."""
    return "threads" in declared.params and "torch" in sys.modules


def environment(resolved: dict[str, Any], *, computes: bool) -> dict[str, Any]:
    """What else decides the bits; a stage that computes with torch also names the CPU's instruction set, which torch chooses by.

    Only training has a device and a precision to choose; the other stages compute on the CPU in 32 bits.
    """
    found: dict[str, Any] = {"python": platform.python_version(), "platform": f"{platform.system()}-{platform.machine()}"}
    if computes:
        import torch

        from tasks.learning import device

        training = resolved.get("train", {})
        found |= {
            "device": device.choose(training.get("device", "cpu")).type,
            "precision": training.get("precision", "32-true"),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
    return found


def _packages(root: Path, resolved: dict[str, Any]) -> list[dict[str, Any]]:
    locked = digest_paths(root, [REQUIREMENTS]) if (root / REQUIREMENTS).exists() else {}
    installed = [{"name": name, "uri": f"pkg:pypi/{name}@{number}"} for name, number in packages(resolved).items()]
    return [*(_resource(name, digest) for name, digest in locked.items()), *installed]


def packages(resolved: dict[str, Any]) -> dict[str, str]:
    """The version of each package whose arithmetic or file formats reach the outputs, by name."""
    return {name: version(name) for name in sorted({*PACKAGES, *_imported(resolved)})}


def _imported(resolved: dict[str, Any]) -> Iterator[str]:
    """The distributions of the components `imported` that were chosen (tasks/core/imported.py)."""
    if resolved.get("name") == "imported" and resolved.get("version"):
        yield str(resolved["version"]).partition(" ")[0]
    for value in resolved.values():
        if isinstance(value, dict):
            yield from _imported(value)


def _resource(name: str, digest: Digest) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": digest.sha256, "md5": digest.md5}}
