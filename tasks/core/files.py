"""Files that appear whole or not at all, and tables and JSON that read back exactly."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.core.errors import ArtifactError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends well, remove it otherwise.

    A killed run therefore leaves no believable file; the next one overwrites what it left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        yield temporary
        temporary.chmod(0o644)  # safetensors writes for the owner alone
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with floats that read back exactly; NaN and infinity are refused."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_text(path: Path, stage: str) -> str:
    """Read a file that `stage` writes.

    Raises:
        ArtifactError: the file is missing; the message names the stage to run.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise missing(path, stage) from None


def read_json(path: Path, stage: str) -> Any:
    """Read a JSON file that `stage` writes.

    Raises:
        ArtifactError: the file is missing or is not JSON.
    """
    text = read_text(path, stage)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtifactError(f"{path} is not JSON ({error}); expected what stage '{stage}' writes: {repair(stage)}") from None


@contextmanager
def expecting(path: Path, stage: str) -> Iterator[None]:
    """Turn what a parser says of a damaged file of `stage` into an error that names the stage to run."""
    try:
        yield
    except (TypeError, ValueError) as error:  # of pydantic, pandas and pyarrow; a field too many or too few
        reason = str(error).partition("\n")[0]
        raise ArtifactError(f"{path} is not what stage '{stage}' writes ({reason}): {repair(stage)}") from error


def missing(path: Path, stage: str) -> ArtifactError:
    """The error for a file of `stage` that is not there."""
    return ArtifactError(f"{path} is missing; expected what stage '{stage}' writes: {repair(stage)}")


def repair(stage: str) -> str:
    """What to do about a file of `stage`; whoever knows the command that runs a stage adds it."""
    return f"run the stage '{stage}' again"
