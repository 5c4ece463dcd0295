"""DVC's run-cache, brought back into a state that it can read.

DVC 3.67 makes the folder of an entry, writes the entry beside its name and renames it. A run that is killed in between leaves a folder
without an entry, and every later run of that stage then ends with a TypeError (dvc/stage/cache.py, `_load`), or with a KeyError where
the unfinished file is YAML as far as it goes.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.lineage.digest import digest_file
from flows.processes.dvc_locks import dvc_lock
from flows.repository import cache_folder, object_path
from tasks.contracts.statement import Digest
from tasks.core.errors import ParamsError
from tasks.core.settings import load_yaml

UNFINISHED = ".tmp"
# DVC needs some milliseconds from making the folder to renaming the entry.
WRITING_SECONDS = 0.5


def mend_run_cache(root: Path) -> list[str]:
    """Remove unfinished entries, and folders that hold no finished one; say which.

    DVC holds its lock for the repository while it writes an entry: nothing is removed while another process has that lock.
    """
    from dvc.lock import LockError

    root = root.resolve()
    try:
        with dvc_lock(root):
            return _remove_unfinished(root)
    except LockError:
        return []


def _remove_unfinished(root: Path) -> list[str]:
    found = _unfinished(root)
    if not found:
        return []
    time.sleep(WRITING_SECONDS)  # another repository may share this cache, and have its own lock
    done = []
    for path in sorted(found & _unfinished(root)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path
        done.append(f"removed {shown}, an entry of DVC's run-cache that was not finished")
    return done


def _unfinished(root: Path) -> set[Path]:
    """Folders without a finished entry, and unfinished files beside finished entries: DVC would read the newest file."""
    found: set[Path] = set()
    for folder in (cache_folder(root) / "runs").glob("*/*"):
        if not folder.is_dir():
            continue
        files = set(folder.iterdir())
        unfinished = {file for file in files if not _is_whole(file)}
        found |= unfinished if files - unfinished else {folder}
    return found


def _is_whole(entry: Path) -> bool:
    try:
        return not entry.name.endswith(UNFINISHED) and {"cmd", "outs"} <= load_yaml(entry).keys()
    except ParamsError:
        return False


def remove_entry(file: Path) -> None:
    """Remove an entry, and its folder where it was the only one."""
    file.unlink(missing_ok=True)
    if file.parent.is_dir() and not any(file.parent.iterdir()):
        file.parent.rmdir()


def forget_newest(runs: Path, key: str) -> None:
    """Remove the entry that DVC reads for this key: the newest, whatever its name."""
    entries = list((runs / key[:2] / key).glob("*"))
    if entries:
        remove_entry(max(entries, key=lambda entry: entry.stat().st_mtime))


def remove_damaged(root: Path, outputs: Mapping[str, Digest]) -> list[str]:
    """The files that were brought back with other bytes than these; what the cache wrongly holds for them is removed."""
    damaged = [name for name, digest in outputs.items() if not _is(root / name, digest)]
    for name in damaged:
        file = object_path(cache_folder(root), outputs[name].md5)
        if file.is_file() and not _is(file, outputs[name]):
            file.unlink()
    return damaged


def _is(file: Path, digest: Digest) -> bool:
    return file.is_file() and digest_file(file) == digest


@dataclass(frozen=True)
class Entry:
    """A file of the run-cache; `content` is None where it is not a whole entry."""

    file: Path
    content: dict[str, Any] | None

    def wrong_names(self) -> Iterator[tuple[str, str]]:
        """The folder's and the file's names that are not those of the content: name, and what it should be."""
        content = self.content or {}
        outs = [out["path"] for out in content.get("outs", []) if isinstance(out, dict) and "path" in out]
        for name, expected in (
            (self.file.parent.name, _name(content | {"outs": outs})),
            (self.file.name, _name(content)),
        ):
            if name != expected:
                yield name, expected


def entries(cache: Path) -> Iterator[Entry]:
    """Every entry of the run-cache in this cache."""
    for file in sorted((cache / "runs").glob("*/*/*")):
        yield Entry(file, load_yaml(file) if file.is_file() and _is_whole(file) else None)


def _name(content: dict[str, Any]) -> str:
    """As DVC names an entry (dvc/utils, `dict_sha256`): the SHA-256 of its content as JSON, sizes and counts left out."""
    return hashlib.sha256(json.dumps(_without_sizes(content), sort_keys=True).encode()).hexdigest()


def _without_sizes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_sizes(item) for key, item in value.items() if key not in ("size", "nfiles")}
    return [_without_sizes(item) for item in value] if isinstance(value, list) else value
