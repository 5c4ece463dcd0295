"""A repository that ran once, in which something is tampered with, and which is put back afterwards."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.declaration import read_declarations
from flows.lineage.digest import digest_file, digest_paths, directory_md5
from flows.lineage.lock import as_locked
from flows.repository import object_path
from tasks.contracts.statement import Digest
from tasks.core.settings import load_yaml
from tests.conftest import Project

Stamp = tuple[int, int, int, int]


@dataclass
class World(Project):
    """A copy of `pristine`; `restore` undoes whatever was done to it."""

    pristine: Path = Path()
    stamps: dict[str, Stamp] = field(default_factory=dict)
    aside: list[Callable[[], None]] = field(default_factory=list)  # to undo what was done elsewhere

    def remember(self) -> None:
        self.stamps = self._stamps()

    def restore(self) -> None:
        """Put back every file that was changed, added or removed: the change time tells, which no program can set."""
        for undo in reversed(self.aside):
            undo()
        self.aside.clear()
        now = self._stamps()
        for name in sorted(now.keys() - self.stamps.keys(), reverse=True):
            remove(self.root / name)
        for name in sorted(self.stamps):
            if now.get(name) == self.stamps[name]:
                continue
            here, there = self.root / name, self.pristine / name
            if there.is_dir() and not there.is_symlink():
                if not here.is_dir() or here.is_symlink():
                    remove(here)
                    here.mkdir()
            else:
                remove(here)
                shutil.copy2(there, here, follow_symlinks=False)
        self.remember()

    def _stamps(self) -> dict[str, Stamp]:
        found = {}
        for folder, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = Path(folder) / name
                about = path.lstat()
                is_folder = path.is_dir() and not path.is_symlink()
                stamp = (
                    (about.st_mode, 0, 0, 0) if is_folder else (about.st_mode, about.st_ino, about.st_size, about.st_ctime_ns)
                )
                found[path.relative_to(self.root).as_posix()] = stamp
        return found

    # What a forger does

    def path(self, name: str) -> Path:
        """A file that may be written to: DVC takes that right from what its cache holds."""
        path = self.root / name
        if path.is_file() and not path.is_symlink():
            path.chmod(0o644)
        return path

    def flip(self, name: str, place: float = 0.5) -> None:
        """Change one bit and keep size, mode and mtime: what DVC itself cannot see."""
        path = self.root / name
        before, content = path.stat(), bytearray(path.read_bytes())
        content[int(len(content) * place)] ^= 1
        path.chmod(0o644)
        path.write_bytes(bytes(content))
        path.chmod(before.st_mode)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def write(self, name: str, content: str | bytes) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace the first place where `old` stands."""
        text = self.text(name)
        assert old in text, f"{old!r} is not in {name}"
        self.write(name, text.replace(old, new, 1))

    def json(self, name: str, change: Callable[[Any], object]) -> None:
        """Change what a JSON file holds."""
        document = json.loads(self.text(name))
        change(document)
        self.write(name, json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def lock(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change what dvc.lock holds; `change` is handed the whole document."""
        document = load_yaml(self.root / "dvc.lock")
        change(document)
        self.write("dvc.lock", json.dumps(document))  # JSON is YAML

    def pipeline(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change what dvc.yaml holds."""
        document = load_yaml(self.root / "dvc.yaml")
        change(document)
        self.write("dvc.yaml", json.dumps(document))

    def object(self, name: str) -> str:
        """The file of DVC's cache that holds an output."""
        items = [item for stage in load_yaml(self.root / "dvc.lock")["stages"].values() for item in stage["outs"]]
        md5 = next((item["md5"] for item in items if item["path"] == name), None) or digest_file(self.root / name).md5
        return object_path(self.root / ".dvc/cache", md5).relative_to(self.root).as_posix()

    def run_entry(self, stage: str) -> str:
        """The stage's entry in DVC's run-cache."""
        (entry,) = (
            file
            for file in (self.root / ".dvc/cache/runs").glob("*/*/*")
            if load_yaml(file)["cmd"] == f"python -m flows.stage {stage}"
        )
        return entry.relative_to(self.root).as_posix()

    def digests(self, name: str) -> tuple[str, ...]:
        """SHA-256 and MD5 of a file; none without a name."""
        found = digest_file(self.root / name) if name else None
        return (found.sha256, found.md5) if found else ()

    def remove(self, *names: str) -> None:
        for name in names:
            remove(self.root / name)

    def reseal(self) -> "World":
        """Make everything agree with the files as they are: statements, dvc.lock and DVC's cache. The consistent forgery."""
        document = load_yaml(self.root / "dvc.lock")
        for name, declared in read_declarations(self.root).items():
            actual = digest_paths(self.root, (path for path in (*declared.deps, *declared.outs) if (self.root / path).exists()))
            own = f"lineage/{name}.json"
            self.json(own, lambda statement, known=actual: _restate(statement, known))  # type: ignore[misc]
            actual[own] = digest_file(self.root / own)
            entry = document["stages"][name]
            for path in (*declared.deps, *declared.outs):
                for item in (*entry["deps"], *entry["outs"]):
                    if item["path"] == as_locked(self.root, path):
                        self._relock(item, path, actual)
        self.write("dvc.lock", json.dumps(document))
        return self

    def _relock(self, item: dict[str, Any], path: str, actual: dict[str, Digest]) -> None:
        files = [file for file in actual if file == path or file.startswith(f"{path}/")]
        item["size"] = sum((self.root / file).stat().st_size for file in files)
        if (self.root / path).is_dir():
            item["md5"], item["nfiles"] = directory_md5(actual, path), len(files)
            entries = sorted(({"md5": actual[file].md5, "relpath": file[len(path) + 1 :]} for file in files), key=_parts)
            self._keep(item["md5"], json.dumps(entries, sort_keys=True).encode())
        else:
            item["md5"] = actual[path].md5
        if not path.startswith(("tasks/", "metrics/")):
            for file in files:
                self._keep(actual[file].md5, (self.root / file).read_bytes())

    def keep(self, listing: bytes) -> str:
        """Put the listing of a folder into DVC's cache; its MD5."""
        md5 = hashlib.md5(listing, usedforsecurity=False).hexdigest()
        self._keep(f"{md5}.dir", listing)
        return md5

    def _keep(self, md5: str, content: bytes) -> None:
        file = object_path(self.root / ".dvc/cache", md5)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def _parts(entry: dict[str, str]) -> tuple[str, ...]:
    return tuple(entry["relpath"].split("/"))


def _restate(statement: dict[str, Any], actual: dict[str, Digest]) -> None:
    for entry in (*statement["subject"], *statement["predicate"]["buildDefinition"]["resolvedDependencies"]):
        digest = actual.get(entry["name"])
        if digest and "md5" in entry.get("digest", {}):
            entry["digest"] = {"sha256": digest.sha256, "md5": digest.md5}


def rename_run_entry(world: World, stage: str, change: Callable[[dict[str, Any]], object]) -> str:
    """Forge an entry of the run-cache under the names that DVC would give it; its new name."""
    old = world.run_entry(stage)
    content = load_yaml(world.root / old)
    change(content)

    def name(value: dict[str, Any]) -> str:
        return hashlib.sha256(json.dumps(_bare(value), sort_keys=True).encode()).hexdigest()

    key, value = name(content | {"outs": [out["path"] for out in content["outs"]]}), name(content)
    remove((world.root / old).parent)
    new = f".dvc/cache/runs/{key[:2]}/{key}/{value}"
    world.write(new, json.dumps(content))
    return new


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if key not in ("size", "nfiles")}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def remove(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
