"""A stage's statement: what it made, and from what. An in-toto Statement v1 with the SLSA provenance v1 predicate.

It holds no time, host, user or run, so that the same inputs in the same environment give the same bytes. The Git commit is not in
it either: it would change the bytes with every commit; the digests of the code say more, and the journal has the commit. For the
same reason the builder is goodfit's version without a digest: every edit under flows/, which decides and records but computes nothing,
would give every statement other bytes, and dvc.lock with them. What computes is tasks/: each file of it is an input with its digests.
"""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from flows.declaration import Declaration
from flows.lineage.digest import Digest, digest_paths
from tasks.core.errors import ArtifactError
from tasks.core.files import read_json, repair, write_json

Kind = TypeVar("Kind")
FOLDER = Path("lineage")
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:goodfit:stage:v1"
REQUIREMENTS = "requirements.lock"
# The packages whose arithmetic or file formats reach the outputs.
PACKAGES = (
    "jinja2",
    "markupsafe",
    "matplotlib",
    "numpy",
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


def write_statement(root: Path, declared: Declaration, inputs: dict[str, Digest], params: dict[str, Any]) -> None:
    """Write `lineage/<stage>.json` for the outputs that now lie in the workspace.

    Args:
        root: the repository.
        declared: the stage as dvc.yaml has it.
        inputs: the digest of every input file, as sealed before the stage ran.
        params: the parameters that the stage depends on, as sealed.
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
                    "internalParameters": environment(computes="threads" in declared.params),
                    "resolvedDependencies": [_resource(name, digest) for name, digest in inputs.items()] + _packages(root),
                },
                "runDetails": {"builder": {"id": "urn:goodfit:builder", "version": {"goodfit": version("goodfit")}}},
            },
        },
    )


@dataclass(frozen=True)
class Statement:
    """What a statement says, as the verbs need it."""

    outputs: dict[str, Digest]
    inputs: dict[str, Digest]
    packages: dict[str, str]  # name to purl
    params: dict[str, Any]
    environment: dict[str, str]
    command: str

    @property
    def files(self) -> dict[str, Digest]:
        return self.inputs | self.outputs


def read_statement(root: Path, stage: str) -> Statement:
    """Read `lineage/<stage>.json`.

    Raises:
        ArtifactError: it is missing, is not JSON or is not a statement of this stage.
    """
    path = root / statement_path(stage)
    try:
        document = read_json(path, stage)
        definition = document["predicate"]["buildDefinition"]
        external, resolved = definition["externalParameters"], definition["resolvedDependencies"]
        if (document["_type"], document["predicateType"], external["stage"]) != (STATEMENT_TYPE, PREDICATE_TYPE, stage):
            raise ArtifactError(f"{path} is not the statement of '{stage}'; {repair(stage)}")
        digests = dict(_named_digest(entry) for entry in resolved if "digest" in entry)
        digests.pop(REQUIREMENTS, None)  # part of the environment: the file may move on without the stage having to run again
        return Statement(
            outputs=dict(_named_digest(entry) for entry in document["subject"]),
            inputs=digests,
            packages={entry["name"]: entry["uri"] for entry in resolved if "uri" in entry},
            params=_typed(dict, external["parameters"]),
            environment=_typed(dict, definition["internalParameters"]),
            command=_typed(str, external["command"]),
        )
    except (KeyError, TypeError, UnicodeDecodeError, OSError) as error:  # OSError: a folder stands there
        raise ArtifactError(f"{path} is not an in-toto statement with SLSA provenance ({error!r}); {repair(stage)}") from None


def flat(params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value under its whole key: `train.optimizer.name`."""
    lines: dict[str, Any] = {}
    for key, value in params.items():
        lines |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return lines


def _named_digest(entry: dict[str, Any]) -> tuple[str, Digest]:
    digest = Digest(**entry["digest"])
    return _typed(str, entry["name"]), Digest(_typed(str, digest.sha256), _typed(str, digest.md5))


def _typed(kind: type[Kind], value: Any) -> Kind:
    if not isinstance(value, kind):
        raise TypeError(f"found {value!r}, expected {kind.__name__}")
    return value


def environment(*, computes: bool) -> dict[str, str]:
    """What else decides the bits; a stage that computes with torch also names the CPU's instruction set, which torch chooses by."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()}-{platform.machine()}"}
    if computes:
        import torch

        found |= {"device": "cpu", "precision": "32-true", "cpu_capability": torch.backends.cpu.get_cpu_capability()}
    return found


def _packages(root: Path) -> list[dict[str, Any]]:
    locked = digest_paths(root, [REQUIREMENTS]) if (root / REQUIREMENTS).exists() else {}
    packages = [{"name": name, "uri": f"pkg:pypi/{name}@{version(name)}"} for name in PACKAGES]
    return [*(_resource(name, digest) for name, digest in locked.items()), *packages]


def _resource(name: str, digest: Digest) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": digest.sha256, "md5": digest.md5}}
