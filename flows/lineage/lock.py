"""What dvc.lock records of a stage."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.repository import MD5
from tasks.core.errors import GoodfitError
from tasks.core.settings import PARAMS_FILE, load_yaml, parse_yaml

LOCK_FILE = "dvc.lock"


class LockFileError(GoodfitError):
    """dvc.lock is not what DVC writes."""


@dataclass(frozen=True)
class Locked:
    """A stage's entry; `deps` and `outs` are from path to MD5, a folder's with `.dir` behind it."""

    command: str
    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, Any]


def read_lock(root: Path, only: Collection[str] | None = None) -> dict[str, Locked]:
    """Every stage of dvc.lock, or those in `only`; none where the file is missing.

    Raises:
        ParamsError: the file is not YAML.
        LockFileError: it is not what DVC writes.
    """
    return read_entries(read_document(root), only)


def read_record(root: Path) -> dict[str, Locked]:
    """As `read_lock`, for a verb that has nothing to do where nothing is recorded.

    Raises:
        GoodfitError: dvc.lock is missing or has no stage; and what `read_lock` raises.
    """
    locked = read_lock(root)
    if not locked:
        raise GoodfitError(f"{LOCK_FILE} records nothing yet; expected a run that is recorded: `dvc repro` or `goodfit run`")
    return locked


def read_document(root: Path) -> dict[str, Any]:
    """dvc.lock as it is written; nothing where the file is missing.

    Raises:
        ParamsError: the file is not YAML.
    """
    return load_yaml(root / LOCK_FILE) if (root / LOCK_FILE).exists() else {}


def parse_lock(text: str, only: Collection[str] | None = None) -> dict[str, Locked]:
    """As `read_lock`, from the text of another dvc.lock, such as a committed one.

    Raises:
        LockFileError: it is not YAML, or not what DVC writes.
    """
    from ruamel.yaml.error import YAMLError

    try:
        document = parse_yaml(text)
    except (YAMLError, ValueError) as error:  # ValueError: a date that does not exist, or a tag that does not fit its value
        problem = getattr(error, "problem", None) or error
        raise LockFileError(f"a recorded {LOCK_FILE} is not valid YAML ({problem}); expected what DVC writes") from None
    if not isinstance(document, dict):
        raise LockFileError(f"a recorded {LOCK_FILE} holds {type(document).__name__}; expected a mapping with the key `stages`")
    return read_entries(document, only)


def read_entries(document: dict[str, Any], only: Collection[str] | None = None) -> dict[str, Locked]:
    """The stages of a dvc.lock.

    Raises:
        LockFileError: it is not what DVC writes.
    """
    stages = document.get("stages")
    try:
        repr(stages)
    except RecursionError:  # every comparison and every message would end in it
        raise LockFileError(f"{LOCK_FILE} holds lists within lists, too many to be read; expected what DVC writes") from None
    if stages is None:
        return {}
    if not isinstance(stages, dict):
        raise _wrong("stages", stages, "a mapping from stage to entry")
    return {str(name): parse_entry(f"stages.{name}", entry) for name, entry in stages.items() if only is None or name in only}


def as_locked(root: Path, path: str) -> str:
    """A declared path as dvc.lock has it: one inside the repository relative and without detours."""
    if os.path.normpath(path) == path and not path.startswith(("/", "..")):  # nearly all of 100,000 files
        return path
    # Text and not Path, for 100,000 files outside of the repository; resolve() would follow links.
    top = os.path.abspath(root)  # noqa: PTH100
    absolute = os.path.normpath(os.path.join(top, path))  # noqa: PTH118
    inside = os.path.join(top, "")  # noqa: PTH118 - with one separator at its end, that of the root folder too
    if absolute == top:
        return "."
    return absolute[len(inside) :].replace(os.sep, "/") if absolute.startswith(inside) else path


def parse_entry(where: str, entry: Any) -> Locked:
    """A stage's entry, found at `where` in dvc.lock.

    Raises:
        LockFileError: it is not what DVC writes.
    """
    if not isinstance(entry, dict):
        raise _wrong(where, entry, "an entry with `cmd`, `deps` and `outs`")
    command, params = entry.get("cmd"), entry.get("params", {})
    if not isinstance(command, str):
        raise _wrong(f"{where}.cmd", command, "one command")
    recorded = params.get(PARAMS_FILE, {}) if isinstance(params, dict) else params
    if not isinstance(recorded, dict):
        raise _wrong(f"{where}.params", recorded, f"the values of {PARAMS_FILE} by key")
    deps, outs = (_digests(f"{where}.{kind}", entry.get(kind, [])) for kind in ("deps", "outs"))
    return Locked(command, deps, outs, recorded)


def _digests(where: str, items: Any) -> dict[str, str]:
    if not isinstance(items, list):
        raise _wrong(where, items, "a list of paths with digests")
    digests: dict[str, str] = {}
    for item in items:
        if not (isinstance(item, dict) and isinstance(item.get("path"), str) and isinstance(item.get("md5"), str)):
            raise _wrong(where, item, "a path and its md5")
        if not MD5.fullmatch(item["md5"]):  # it becomes the name of a file, which could lie anywhere
            raise _wrong(
                f"{where}: {item['path']}", item["md5"], "an md5 of 32 hexadecimal digits, of a folder with `.dir` behind it"
            )
        # Two choices may name the same component: DVC then lists its file twice.
        if digests.get(item["path"], item["md5"]) != item["md5"]:
            raise _wrong(where, item["path"], "each path once")
        digests[item["path"]] = item["md5"]
    return digests


def _wrong(where: str, found: Any, expected: str) -> LockFileError:
    return LockFileError(
        f"{LOCK_FILE}: {where}: found {found!r}; expected {expected}: "
        f"`git checkout {LOCK_FILE}` brings the committed one back, `dvc repro` writes it anew"
    )
